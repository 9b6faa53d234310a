//! May this actor do this to that object? Pure, and the only place that knows.
//!
//! Every HTTP handler, the gateway and the agents' endpoint ask [`may`]. Who may not even see an object is told that
//! there is none ([`Denied::Hidden`]), so that names do not leak.

mod lifetime;

pub use self::lifetime::may_last;
use super::role::Role;
use super::scopes::{Scope, ScopeSet};
use crate::store::models::{AgentRow, TokenRow};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor<'a> {
    Nobody,
    Person {
        user_id: &'a str,
        role: Role,
        by: Means,
    },
    /// A program that showed the token of this agent.
    Agent {
        client_id: &'a str,
        /// Whether its owner's account is active.
        owner_active: bool,
    },
}

/// How a person came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// A browser that signed in.
    Session,
    Token(ScopeSet),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    ListTunnels,
    ReadTunnel,
    CreateTunnel,
    ChangeTunnel,
    DeleteTunnel,
    CutConnection,

    ListAgents,
    ReadAgent,
    EnrolAgent,
    /// Make tunnels through it.
    UseAgent,
    /// Give it to all, take it from all, or give it to somebody else.
    ShareAgent,
    RotateAgent,
    RemoveAgent,
    /// Open the agents' WebSocket under its name.
    ConnectAgent,

    /// Who am I, and what do I have?
    ReadSelf,
    ChangePassword,
    /// Sign out of this browser.
    EndSession,
    /// Sign out of every browser.
    EndSessions,
    /// Let an OpenID provider sign one in, or no longer.
    LinkProvider,
    ReadEvents,

    ListTokens,
    ReadToken,
    CreateToken,
    RevokeToken,

    ListUsers,
    ReadUser,
    CreateUser,
    ChangeUser,
    DeleteUser,
    ReadAudit,

    /// Read the catalogue of desktop types.
    ListDesktopTypes,
    CreateDesktopType,
    ChangeDesktopType,
    DeleteDesktopType,

    ListDesktops,
    /// Its state and its log.
    ReadDesktop,
    CreateDesktop,
    StartDesktop,
    StopDesktop,
    DeleteDesktop,
    /// See and use what is on it, through the gateway or as a picture.
    OpenDesktop,
}

/// What it is to be done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object<'a> {
    /// Nothing that exists yet, or a list of which each item is asked about by itself.
    None,
    Owned {
        owner_id: &'a str,
    },
    Agent {
        client_id: &'a str,
        owner_id: &'a str,
        shared: bool,
    },
    /// A token that exists, or that is asked for.
    Token {
        owner_id: &'a str,
        scopes: ScopeSet,
    },
}

impl<'a> Object<'a> {
    pub fn of_agent(row: &'a AgentRow) -> Self {
        Self::Agent { client_id: &row.client_id, owner_id: &row.owner_id, shared: row.shared }
    }

    pub fn of_token(row: &'a TokenRow) -> Self {
        Self::Token { owner_id: &row.user_id, scopes: ScopeSet::of_row(&row.scopes) }
    }
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Deny(Denied),
}

/// Why something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("sign in, or send a token")]
    SignIn,
    #[error("this token lacks the scope `{0}`")]
    Scope(Scope),
    #[error("this needs an account with the role `admin`")]
    Role,
    #[error("only a signed-in browser may do this, no token")]
    Session,
    #[error("only its owner or an administrator may do this")]
    Owner,
    #[error("only its owner may open a desktop: its pages would act with your rights here")]
    OwnerOnly,
    #[error(
        "a token makes no other that may do more, or lasts longer, than itself; ask for fewer scopes or an earlier end"
    )]
    Wider,
    #[error("the account that it belongs to is not active")]
    Inactive,
    /// To be answered as if there were no such thing.
    #[error("there is no such thing")]
    Hidden,
}

/// What an action needs of whoever asks, whatever the object.
enum Need {
    /// A token with this scope, or a session.
    Scope(Scope),
    /// An administrator, and of a token the scope `admin`.
    Admin,
    /// A session.
    Session,
    /// Any token, or a session.
    Anybody,
    /// An agent's token.
    Agent,
}

impl Action {
    pub const ALL: [Self; 41] = [
        Self::ListTunnels,
        Self::ReadTunnel,
        Self::CreateTunnel,
        Self::ChangeTunnel,
        Self::DeleteTunnel,
        Self::CutConnection,
        Self::ListAgents,
        Self::ReadAgent,
        Self::EnrolAgent,
        Self::UseAgent,
        Self::ShareAgent,
        Self::RotateAgent,
        Self::RemoveAgent,
        Self::ConnectAgent,
        Self::ReadSelf,
        Self::ChangePassword,
        Self::EndSession,
        Self::EndSessions,
        Self::LinkProvider,
        Self::ReadEvents,
        Self::ListTokens,
        Self::ReadToken,
        Self::CreateToken,
        Self::RevokeToken,
        Self::ListUsers,
        Self::ReadUser,
        Self::CreateUser,
        Self::ChangeUser,
        Self::DeleteUser,
        Self::ReadAudit,
        Self::ListDesktopTypes,
        Self::CreateDesktopType,
        Self::ChangeDesktopType,
        Self::DeleteDesktopType,
        Self::ListDesktops,
        Self::ReadDesktop,
        Self::CreateDesktop,
        Self::StartDesktop,
        Self::StopDesktop,
        Self::DeleteDesktop,
        Self::OpenDesktop,
    ];

    /// As the audit log names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ListTunnels => "tunnel.list",
            Self::ReadTunnel => "tunnel.read",
            Self::CreateTunnel => "tunnel.create",
            Self::ChangeTunnel => "tunnel.change",
            Self::DeleteTunnel => "tunnel.delete",
            Self::CutConnection => "connection.cut",
            Self::ListAgents => "agent.list",
            Self::ReadAgent => "agent.read",
            Self::EnrolAgent => "agent.enrol",
            Self::UseAgent => "agent.use",
            Self::ShareAgent => "agent.share",
            Self::RotateAgent => "agent.rotate",
            Self::RemoveAgent => "agent.remove",
            Self::ConnectAgent => "agent.connect",
            Self::ReadSelf => "self.read",
            Self::ChangePassword => "password.change",
            Self::EndSession => "session.end",
            Self::EndSessions => "session.end_all",
            Self::LinkProvider => "identity.link",
            Self::ReadEvents => "events.read",
            Self::ListTokens => "token.list",
            Self::ReadToken => "token.read",
            Self::CreateToken => "token.create",
            Self::RevokeToken => "token.revoke",
            Self::ListUsers => "user.list",
            Self::ReadUser => "user.read",
            Self::CreateUser => "user.create",
            Self::ChangeUser => "user.change",
            Self::DeleteUser => "user.delete",
            Self::ReadAudit => "audit.read",
            Self::ListDesktopTypes => "desktop_type.list",
            Self::CreateDesktopType => "desktop_type.create",
            Self::ChangeDesktopType => "desktop_type.change",
            Self::DeleteDesktopType => "desktop_type.delete",
            Self::ListDesktops => "desktop.list",
            Self::ReadDesktop => "desktop.read",
            Self::CreateDesktop => "desktop.create",
            Self::StartDesktop => "desktop.start",
            Self::StopDesktop => "desktop.stop",
            Self::DeleteDesktop => "desktop.delete",
            Self::OpenDesktop => "desktop.open",
        }
    }

    /// Whether it only looks. Everything else is written to the audit log.
    pub const fn only_reads(self) -> bool {
        matches!(
            self,
            Self::ListTunnels
                | Self::ReadTunnel
                | Self::ListAgents
                | Self::ReadAgent
                | Self::ReadSelf
                | Self::ReadEvents
                | Self::ListTokens
                | Self::ReadToken
                | Self::ListUsers
                | Self::ReadUser
                | Self::ReadAudit
                | Self::ListDesktopTypes
                | Self::ListDesktops
                | Self::ReadDesktop
                // Asked for each request of a page: what is done inside is not this log's to tell.
                | Self::OpenDesktop
        )
    }

    const fn need(self) -> Need {
        match self {
            Self::ListTunnels | Self::ReadTunnel | Self::ListAgents | Self::ReadAgent => {
                Need::Scope(Scope::TunnelsRead)
            }
            Self::CreateTunnel
            | Self::ChangeTunnel
            | Self::DeleteTunnel
            | Self::CutConnection
            | Self::EnrolAgent
            | Self::UseAgent
            | Self::ShareAgent
            | Self::RotateAgent
            | Self::RemoveAgent => Need::Scope(Scope::TunnelsWrite),
            Self::ListDesktopTypes | Self::ListDesktops | Self::ReadDesktop => Need::Scope(Scope::DesktopsRead),
            Self::CreateDesktop | Self::StartDesktop | Self::StopDesktop | Self::DeleteDesktop | Self::OpenDesktop => {
                Need::Scope(Scope::DesktopsWrite)
            }
            Self::ConnectAgent => Need::Agent,
            Self::ReadSelf
            | Self::ReadEvents
            | Self::ListTokens
            | Self::ReadToken
            | Self::CreateToken
            | Self::RevokeToken => Need::Anybody,
            Self::ChangePassword | Self::EndSession | Self::EndSessions | Self::LinkProvider => Need::Session,
            Self::ListUsers
            | Self::ReadUser
            | Self::CreateUser
            | Self::ChangeUser
            | Self::DeleteUser
            | Self::ReadAudit
            | Self::CreateDesktopType
            | Self::ChangeDesktopType
            | Self::DeleteDesktopType => Need::Admin,
        }
    }
}

/// Whether `actor` may do `action` to `object`.
pub fn may(actor: Actor<'_>, action: Action, object: Object<'_>) -> Decision {
    match refusal(actor, action, object) {
        None => Decision::Allow,
        Some(denied) => Decision::Deny(denied),
    }
}

fn refusal(actor: Actor<'_>, action: Action, object: Object<'_>) -> Option<Denied> {
    match (actor, action.need()) {
        (Actor::Nobody, _) => Some(Denied::SignIn),
        (Actor::Agent { client_id, owner_active }, Need::Agent) => agent_refusal(client_id, owner_active, object),
        (Actor::Agent { .. }, _) | (Actor::Person { .. }, Need::Agent) => Some(Denied::SignIn),
        (Actor::Person { user_id, role, by }, need) => {
            lacking(role, by, need).or_else(|| object_refusal(Person { user_id, role, by }, action, object))
        }
    }
}

fn agent_refusal(client_id: &str, owner_active: bool, object: Object<'_>) -> Option<Denied> {
    match object {
        Object::Agent { client_id: wanted, .. } if wanted == client_id => (!owner_active).then_some(Denied::Inactive),
        _ => Some(Denied::SignIn),
    }
}

fn lacking(role: Role, by: Means, need: Need) -> Option<Denied> {
    let scope = match need {
        Need::Anybody | Need::Agent => return None,
        Need::Session => return matches!(by, Means::Token(_)).then_some(Denied::Session),
        Need::Scope(scope) => scope,
        Need::Admin if role != Role::Admin => return Some(Denied::Role),
        Need::Admin => Scope::Admin,
    };
    match by {
        Means::Token(scopes) if !scopes.allows(scope) => Some(Denied::Scope(scope)),
        _ => None,
    }
}

/// A person that has what the action needs by itself.
#[derive(Clone, Copy)]
struct Person<'a> {
    user_id: &'a str,
    role: Role,
    by: Means,
}

impl Person<'_> {
    /// An administrator's token without the scope `admin` reaches only what is the owner's.
    fn is_admin(self) -> bool {
        self.role == Role::Admin
            && match self.by {
                Means::Session => true,
                Means::Token(scopes) => scopes.allows(Scope::Admin),
            }
    }

    fn reaches(self, owner_id: &str) -> bool {
        self.user_id == owner_id || self.is_admin()
    }

    /// What keeps this person from being an administrator here: an administrator's token may only lack the scope.
    fn lacks_admin(self, otherwise: Denied) -> Option<Denied> {
        match self.role {
            _ if self.is_admin() => None,
            Role::Admin => Some(Denied::Scope(Scope::Admin)),
            Role::User => Some(otherwise),
        }
    }
}

fn object_refusal(person: Person<'_>, action: Action, object: Object<'_>) -> Option<Denied> {
    match object {
        Object::None => None,
        Object::Owned { owner_id } if action == Action::OpenDesktop => opening_refusal(person, owner_id),
        Object::Owned { owner_id } => (!person.reaches(owner_id)).then_some(Denied::Hidden),
        Object::Agent { owner_id, shared, .. } => shared_refusal(person, action, owner_id, shared),
        Object::Token { owner_id, scopes } => token_refusal(person, action, owner_id, scopes),
    }
}

/// An administrator knows of every desktop, and opens none but the own.
fn opening_refusal(person: Person<'_>, owner_id: &str) -> Option<Denied> {
    match () {
        () if person.user_id == owner_id => None,
        () if person.is_admin() => Some(Denied::OwnerOnly),
        () => Some(Denied::Hidden),
    }
}

fn shared_refusal(person: Person<'_>, action: Action, owner_id: &str, shared: bool) -> Option<Denied> {
    if !shared && !person.reaches(owner_id) {
        return Some(Denied::Hidden);
    }
    match action {
        Action::ReadAgent | Action::UseAgent => None,
        Action::ShareAgent => person.lacks_admin(Denied::Role),
        _ if person.reaches(owner_id) => None,
        _ => person.lacks_admin(Denied::Owner),
    }
}

/// A token reaches those tokens of its owner that may do no more than itself.
fn token_refusal(person: Person<'_>, action: Action, owner_id: &str, wanted: ScopeSet) -> Option<Denied> {
    let own = person.user_id == owner_id;
    let narrower = match person.by {
        Means::Session => true,
        Means::Token(scopes) => scopes.covers(wanted),
    };
    match action {
        Action::CreateToken if !own => Some(Denied::Owner),
        Action::CreateToken if wanted.allows(Scope::Admin) && person.role != Role::Admin => Some(Denied::Role),
        Action::CreateToken => (!narrower).then_some(Denied::Wider),
        _ => (!(own && narrower || person.is_admin())).then_some(Denied::Hidden),
    }
}

/// What a token gets that was asked for without naming scopes.
pub fn default_scopes(role: Role) -> ScopeSet {
    let all = Scope::ALL.into_iter();
    all.filter(|scope| *scope != Scope::Admin || role == Role::Admin).collect()
}

#[cfg(test)]
mod tests;
