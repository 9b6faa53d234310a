//! Who is asking, and what may they do? Accounts, passwords, sessions, tokens, agents.
//!
//! Pure: `policy`, `role`, `scopes`, `names`, `news`, `snapshot`, `limits`, `pace`, and the decisions in `attempts`. The
//! [`directory`] actor owns what is true and publishes it as a [`snapshot`]; everybody else reads that.

pub mod agents;
pub mod attempts;
pub mod audit;
pub mod caller;
pub mod directory;
pub mod first_start;
pub mod hasher;
pub mod limits;
pub mod names;
pub mod news;
pub mod oidc;
pub mod pace;
pub mod passwords;
pub mod policy;
pub mod role;
pub mod scopes;
pub mod secrets;
pub mod sign_in;
pub mod snapshot;

pub use caller::{Caller, Credential};
pub use directory::Directory;
pub use role::Role;
pub use scopes::{Scope, ScopeSet};
pub use snapshot::Snapshot;
