//! The promises of the profiles, through their public interface.

mod budget_lives;
mod cold_writes;
mod conformance;
mod damage;
mod damaged_users;
mod erase;
mod groups;
mod inspect;
mod late_binding;
mod lives;
mod races;
mod records;
mod replace;
mod store;
