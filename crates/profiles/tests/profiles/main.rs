//! What the profiles promise, through their public interface.

mod conformance;
mod damage;
mod erase;
mod groups;
mod inspect;
mod late_binding;
mod model;
mod races;
mod records;
mod store;
