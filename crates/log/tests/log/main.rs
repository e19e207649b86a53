//! The log through its public interface.

mod conformance;
mod copy;
mod damage;
mod durability;
mod failing;
mod fixture;
mod inspect;
mod power_cut;
mod recovery;
mod support;
