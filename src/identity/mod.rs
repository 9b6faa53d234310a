//! Who is asking, and what may they do? Accounts, passwords, tokens, agents.
//!
//! `policy`, `scopes`, `names` and the decision in `attempts` are pure; `caller` and `agents` ask the store.

pub mod agents;
pub mod attempts;
pub mod caller;
pub mod first_start;
pub mod names;
pub mod passwords;
pub mod policy;
pub mod scopes;
pub mod secret_key;
pub mod secrets;

pub use attempts::{AttemptLimiter, Failed, MayTry, Succeeded};
pub use caller::{Caller, authenticate_token};
pub use policy::Role;
pub use scopes::Scope;
