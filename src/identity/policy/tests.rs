//! The rules as a table that a person can read, and what must hold of all of them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// One line for each action and kind of object. The letters, in the order of the columns: for nobody; for the session
/// of a user and of an administrator; for tokens of a user and of an administrator with no scope, with one of
/// `tunnels:read`, `tunnels:write`, `desktops:read`, `desktops:write`, and with `admin`.
///
/// A: allowed. S: sign in. R: needs the role. B: needs a browser. O: the owner's alone. W: wider than the token.
/// o: the owner's alone, whoever asks. H: hidden. r, w, d, D, a: lacks the scope `tunnels:read`, `tunnels:write`,
/// `desktops:read`, `desktops:write`, `admin`.
const RULES: &str = "
                               nobody  session  user's  administrator's
                                        u a     -rwRWa  -rwRWa
    ListTunnels    none           S      AA     rArrrA  rArrrA
    ReadTunnel     none           S      AA     rArrrA  rArrrA
    ReadTunnel     own            S      AA     rArrrA  rArrrA
    ReadTunnel     other          S      HA     rHrrrH  rHrrrA
    CreateTunnel   none           S      AA     wwAwwA  wwAwwA
    ChangeTunnel   none           S      AA     wwAwwA  wwAwwA
    ChangeTunnel   own            S      AA     wwAwwA  wwAwwA
    ChangeTunnel   other          S      HA     wwHwwH  wwHwwA
    DeleteTunnel   none           S      AA     wwAwwA  wwAwwA
    DeleteTunnel   own            S      AA     wwAwwA  wwAwwA
    DeleteTunnel   other          S      HA     wwHwwH  wwHwwA
    CutConnection  none           S      AA     wwAwwA  wwAwwA
    CutConnection  own            S      AA     wwAwwA  wwAwwA
    CutConnection  other          S      HA     wwHwwH  wwHwwA

    ListAgents     none           S      AA     rArrrA  rArrrA
    ReadAgent      none           S      AA     rArrrA  rArrrA
    ReadAgent      own-agent      S      AA     rArrrA  rArrrA
    ReadAgent      other-agent    S      HA     rHrrrH  rHrrrA
    ReadAgent      own-shared     S      AA     rArrrA  rArrrA
    ReadAgent      other-shared   S      AA     rArrrA  rArrrA
    EnrolAgent     none           S      AA     wwAwwA  wwAwwA
    UseAgent       own-agent      S      AA     wwAwwA  wwAwwA
    UseAgent       other-agent    S      HA     wwHwwH  wwHwwA
    UseAgent       own-shared     S      AA     wwAwwA  wwAwwA
    UseAgent       other-shared   S      AA     wwAwwA  wwAwwA
    ShareAgent     none           S      AA     wwAwwA  wwAwwA
    ShareAgent     own-agent      S      RA     wwRwwR  wwawwA
    ShareAgent     other-agent    S      HA     wwHwwH  wwHwwA
    ShareAgent     own-shared     S      RA     wwRwwR  wwawwA
    ShareAgent     other-shared   S      RA     wwRwwR  wwawwA
    RotateAgent    none           S      AA     wwAwwA  wwAwwA
    RotateAgent    own-agent      S      AA     wwAwwA  wwAwwA
    RotateAgent    other-agent    S      HA     wwHwwH  wwHwwA
    RotateAgent    own-shared     S      AA     wwAwwA  wwAwwA
    RotateAgent    other-shared   S      OA     wwOwwO  wwawwA
    RemoveAgent    none           S      AA     wwAwwA  wwAwwA
    RemoveAgent    own-agent      S      AA     wwAwwA  wwAwwA
    RemoveAgent    other-agent    S      HA     wwHwwH  wwHwwA
    RemoveAgent    own-shared     S      AA     wwAwwA  wwAwwA
    RemoveAgent    other-shared   S      OA     wwOwwO  wwawwA
    ConnectAgent   own-agent      S      SS     SSSSSS  SSSSSS
    ConnectAgent   other-shared   S      SS     SSSSSS  SSSSSS

    ReadSelf       none           S      AA     AAAAAA  AAAAAA
    ReadSelf       own            S      AA     AAAAAA  AAAAAA
    ReadSelf       other          S      HA     HHHHHH  HHHHHA
    ReadEvents     none           S      AA     AAAAAA  AAAAAA
    ChangePassword none           S      AA     BBBBBB  BBBBBB
    EndSession     none           S      AA     BBBBBB  BBBBBB
    EndSessions    none           S      AA     BBBBBB  BBBBBB
    LinkProvider   none           S      AA     BBBBBB  BBBBBB

    ListTokens     none           S      AA     AAAAAA  AAAAAA
    ReadToken      none           S      AA     AAAAAA  AAAAAA
    ReadToken      own-reader     S      AA     HAHHHA  HAHHHA
    ReadToken      own-admin      S      AA     HHHHHA  HHHHHA
    ReadToken      other-reader   S      HA     HHHHHH  HHHHHA
    ReadToken      other-admin    S      HA     HHHHHH  HHHHHA
    CreateToken    none           S      AA     AAAAAA  AAAAAA
    CreateToken    own-reader     S      AA     WAWWWA  WAWWWA
    CreateToken    own-admin      S      RA     RRRRRR  WWWWWA
    CreateToken    other-reader   S      OO     OOOOOO  OOOOOO
    CreateToken    other-admin    S      OO     OOOOOO  OOOOOO
    RevokeToken    none           S      AA     AAAAAA  AAAAAA
    RevokeToken    own-reader     S      AA     HAHHHA  HAHHHA
    RevokeToken    own-admin      S      AA     HHHHHA  HHHHHA
    RevokeToken    other-reader   S      HA     HHHHHH  HHHHHA
    RevokeToken    other-admin    S      HA     HHHHHH  HHHHHA

    ListUsers      none           S      RA     RRRRRR  aaaaaA
    ReadUser       none           S      RA     RRRRRR  aaaaaA
    ReadUser       own            S      RA     RRRRRR  aaaaaA
    ReadUser       other          S      RA     RRRRRR  aaaaaA
    CreateUser     none           S      RA     RRRRRR  aaaaaA
    ChangeUser     none           S      RA     RRRRRR  aaaaaA
    ChangeUser     own            S      RA     RRRRRR  aaaaaA
    ChangeUser     other          S      RA     RRRRRR  aaaaaA
    DeleteUser     none           S      RA     RRRRRR  aaaaaA
    DeleteUser     own            S      RA     RRRRRR  aaaaaA
    DeleteUser     other          S      RA     RRRRRR  aaaaaA
    ReadAudit      none           S      RA     RRRRRR  aaaaaA

    ListDesktopTypes  none        S      AA     dddAdA  dddAdA
    CreateDesktopType none        S      RA     RRRRRR  aaaaaA
    ChangeDesktopType none        S      RA     RRRRRR  aaaaaA
    DeleteDesktopType none        S      RA     RRRRRR  aaaaaA
    ListDesktops   none           S      AA     dddAdA  dddAdA
    ReadDesktop    none           S      AA     dddAdA  dddAdA
    ReadDesktop    own            S      AA     dddAdA  dddAdA
    ReadDesktop    other          S      HA     dddHdH  dddHdA
    CreateDesktop  none           S      AA     DDDDAA  DDDDAA
    StartDesktop   none           S      AA     DDDDAA  DDDDAA
    StartDesktop   own            S      AA     DDDDAA  DDDDAA
    StartDesktop   other          S      HA     DDDDHH  DDDDHA
    StopDesktop    none           S      AA     DDDDAA  DDDDAA
    StopDesktop    own            S      AA     DDDDAA  DDDDAA
    StopDesktop    other          S      HA     DDDDHH  DDDDHA
    DeleteDesktop  none           S      AA     DDDDAA  DDDDAA
    DeleteDesktop  own            S      AA     DDDDAA  DDDDAA
    DeleteDesktop  other          S      HA     DDDDHH  DDDDHA
    OpenDesktop    own            S      AA     DDDDAA  DDDDAA
    OpenDesktop    other          S      Ho     DDDDHH  DDDDHo
";

const ASKING: &str = "asking";

/// The objects that an action is about. Another action does not compile here until it has its lines in the table.
fn objects_of(action: Action) -> &'static [&'static str] {
    use Action::*;
    match action {
        ListTunnels | CreateTunnel | ListAgents | EnrolAgent | ReadEvents | ChangePassword | EndSession
        | EndSessions | LinkProvider | ListTokens | ListUsers | CreateUser | ReadAudit | ListDesktopTypes
        | CreateDesktopType | ChangeDesktopType | DeleteDesktopType | ListDesktops | CreateDesktop => &["none"],
        ReadTunnel | ChangeTunnel | DeleteTunnel | CutConnection | ReadSelf | ReadUser | ChangeUser | DeleteUser
        | ReadDesktop | StartDesktop | StopDesktop | DeleteDesktop => &["none", "own", "other"],
        OpenDesktop => &["own", "other"],
        ReadAgent | ShareAgent | RotateAgent | RemoveAgent => {
            &["none", "own-agent", "other-agent", "own-shared", "other-shared"]
        }
        UseAgent => &["own-agent", "other-agent", "own-shared", "other-shared"],
        ConnectAgent => &["own-agent", "other-shared"],
        ReadToken | CreateToken | RevokeToken => &["none", "own-reader", "own-admin", "other-reader", "other-admin"],
    }
}

fn object(name: &str) -> Object<'static> {
    let Some((whose, kind)) = name.split_once('-') else {
        return match name {
            "none" => Object::None,
            "own" => Object::Owned { owner_id: ASKING },
            "other" => Object::Owned { owner_id: "other" },
            _ => panic!("{name}"),
        };
    };
    let owner_id = if whose == "own" { ASKING } else { "other" };
    match kind {
        "agent" | "shared" => Object::Agent { client_id: "pc1", owner_id, shared: kind == "shared" },
        "reader" => Object::Token { owner_id, scopes: set(&[Scope::TunnelsRead]) },
        "admin" => Object::Token { owner_id, scopes: set(&[Scope::Admin]) },
        _ => panic!("{name}"),
    }
}

fn set(scopes: &[Scope]) -> ScopeSet {
    scopes.iter().copied().collect()
}

fn person(role: Role, by: Means) -> Actor<'static> {
    Actor::Person { user_id: ASKING, role, by }
}

/// The columns of the table.
fn columns() -> Vec<Actor<'static>> {
    let tokens = |role| {
        let each = Scope::ALL.into_iter().map(|scope| set(&[scope]));
        std::iter::once(ScopeSet::default()).chain(each).map(move |scopes| person(role, Means::Token(scopes)))
    };
    let sessions = [Role::User, Role::Admin].map(|role| person(role, Means::Session));
    let before = std::iter::once(Actor::Nobody).chain(sessions);
    before.chain(tokens(Role::User)).chain(tokens(Role::Admin)).collect()
}

fn letter(decision: Decision) -> char {
    match decision {
        Decision::Allow => 'A',
        Decision::Deny(Denied::SignIn) => 'S',
        Decision::Deny(Denied::Role) => 'R',
        Decision::Deny(Denied::Session) => 'B',
        Decision::Deny(Denied::Owner) => 'O',
        Decision::Deny(Denied::Wider) => 'W',
        Decision::Deny(Denied::Hidden) => 'H',
        Decision::Deny(Denied::Inactive) => 'I',
        Decision::Deny(Denied::Scope(Scope::TunnelsRead)) => 'r',
        Decision::Deny(Denied::Scope(Scope::TunnelsWrite)) => 'w',
        Decision::Deny(Denied::Scope(Scope::Admin)) => 'a',
        Decision::Deny(Denied::OwnerOnly) => 'o',
        Decision::Deny(Denied::Scope(Scope::DesktopsRead)) => 'd',
        Decision::Deny(Denied::Scope(Scope::DesktopsWrite)) => 'D',
    }
}

/// Action, object and letters of each line.
fn rules() -> impl Iterator<Item = (Action, &'static str, String)> {
    RULES.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let action = Action::ALL.into_iter().find(|action| format!("{action:?}") == name)?;
        Some((action, words.next()?, words.collect()))
    })
}

#[test]
fn the_table_is_what_is_decided() {
    for (action, name, letters) in rules() {
        let decided: String = columns().into_iter().map(|actor| letter(may(actor, action, object(name)))).collect();
        assert_eq!(decided, letters, "{action:?} {name}");
    }
}

#[test]
fn the_table_has_every_action_with_all_its_objects_once() {
    let listed: Vec<_> = rules().map(|(action, name, _)| (format!("{action:?}"), name)).collect();
    let wanted: BTreeSet<_> = Action::ALL
        .into_iter()
        .flat_map(|action| objects_of(action).iter().map(move |name| (format!("{action:?}"), *name)))
        .collect();
    assert_eq!(listed.len(), wanted.len());
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), wanted);
    let lines = RULES.lines().filter(|line| !line.trim().is_empty()).count();
    assert_eq!(lines, wanted.len() + 2, "two lines of heading, and no action that there is not");
}

#[test]
fn every_action_is_in_the_list_of_all_with_a_name_of_its_own() {
    // Its place in the list is its place in the type, so one that is missing shows as a gap or as the wrong length.
    for (place, action) in Action::ALL.into_iter().enumerate() {
        assert_eq!(action as usize, place, "{action:?}");
    }
    let names: BTreeSet<_> = Action::ALL.into_iter().map(Action::as_str).collect();
    assert_eq!(names.len(), Action::ALL.len());
    let reading = ["list", "read", "open"];
    for action in Action::ALL {
        let verb = action.as_str().split('.').nth(1).unwrap();
        assert_eq!(action.only_reads(), reading.contains(&verb), "{action:?}");
    }
}

#[test]
fn an_agents_token_connects_that_agent_and_nothing_else() {
    let agent = |owner_active| Actor::Agent { client_id: "pc1", owner_active };
    let named = |client_id| Object::Agent { client_id, owner_id: "owner", shared: true };
    for action in Action::ALL {
        for (actor, object, expected) in [
            (agent(true), named("pc1"), 'A'),
            (agent(false), named("pc1"), 'I'),
            (agent(true), named("pc2"), 'S'),
            (agent(false), named("pc2"), 'S'),
            (agent(true), Object::None, 'S'),
            (agent(true), Object::Owned { owner_id: "owner" }, 'S'),
            (agent(true), Object::Token { owner_id: "owner", scopes: ScopeSet::default() }, 'S'),
        ] {
            let expected = if action == Action::ConnectAgent { expected } else { 'S' };
            assert_eq!(letter(may(actor, action, object)), expected, "{actor:?} {action:?} {object:?}");
        }
    }
}

#[test]
fn a_token_without_named_scopes_gets_what_its_owner_may_have() {
    for role in Role::ALL {
        let token = Object::Token { owner_id: ASKING, scopes: default_scopes(role) };
        assert_eq!(may(person(role, Means::Session), Action::CreateToken, token), Decision::Allow);
        assert_eq!(default_scopes(role).allows(Scope::Admin), role == Role::Admin);
        assert!(default_scopes(role).covers(set(&Scope::ALL[..4])));
    }
}

fn any_action() -> impl Strategy<Value = Action> {
    prop::sample::select(&Action::ALL[..])
}

fn any_scopes() -> impl Strategy<Value = ScopeSet> {
    prop::sample::subsequence(&Scope::ALL[..], 0..=Scope::ALL.len()).prop_map(|scopes| set(&scopes))
}

fn any_role() -> impl Strategy<Value = Role> {
    prop::sample::select(&Role::ALL[..])
}

fn any_means() -> impl Strategy<Value = Means> {
    prop_oneof![Just(Means::Session), any_scopes().prop_map(Means::Token)]
}

fn any_object() -> impl Strategy<Value = Object<'static>> {
    let owner = || prop::sample::select(&[ASKING, "other"][..]);
    prop_oneof![
        Just(Object::None),
        owner().prop_map(|owner_id| Object::Owned { owner_id }),
        (owner(), any::<bool>()).prop_map(|(owner_id, shared)| Object::Agent { client_id: "pc1", owner_id, shared }),
        (owner(), any_scopes()).prop_map(|(owner_id, scopes)| Object::Token { owner_id, scopes }),
    ]
}

/// Does this refusal come of the object, not of what the action needs by itself?
fn tells_of_object(decision: Decision) -> bool {
    matches!(decision, Decision::Allow | Decision::Deny(Denied::Owner | Denied::Wider))
}

fn allows(actor: Actor<'_>, action: Action, object: Object<'_>) -> bool {
    may(actor, action, object) == Decision::Allow
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_token_does_nothing_that_its_owners_session_may_not(
        role in any_role(), scopes in any_scopes(), action in any_action(), object in any_object(),
    ) {
        if allows(person(role, Means::Token(scopes)), action, object) {
            prop_assert!(allows(person(role, Means::Session), action, object));
        }
    }

    #[test]
    fn more_scopes_and_a_higher_role_never_allow_less(
        role in any_role(), scopes in any_scopes(), more in any_scopes(), action in any_action(), object in any_object(),
    ) {
        if allows(person(role, Means::Token(scopes)), action, object) {
            let wider: ScopeSet = scopes.iter().chain(more.iter()).collect();
            prop_assert!(allows(person(role, Means::Token(wider)), action, object));
            prop_assert!(allows(person(role, Means::Token(set(&[Scope::Admin]))), action, object));
            prop_assert!(allows(person(Role::Admin, Means::Token(scopes)), action, object));
        }
    }

    #[test]
    fn what_one_may_not_see_no_action_shows(
        role in any_role(), by in any_means(), read in any_action(), action in any_action(), object in any_object(),
    ) {
        let actor = person(role, by);
        // A token that is asked for is nobody's secret: whether it may be is answered.
        if action != Action::CreateToken && may(actor, read, object) == Decision::Deny(Denied::Hidden) {
            prop_assert!(!tells_of_object(may(actor, action, object)), "{:?}", may(actor, action, object));
        }
    }

    #[test]
    fn nobody_makes_a_token_that_may_do_more(
        role in any_role(), by in any_means(), wanted in any_scopes(), action in any_action(), object in any_object(),
    ) {
        let (maker, token) = (person(role, by), Object::Token { owner_id: ASKING, scopes: wanted });
        if allows(maker, Action::CreateToken, token) && allows(person(role, Means::Token(wanted)), action, object) {
            prop_assert!(allows(maker, action, object));
        }
    }

    #[test]
    fn without_the_scope_admin_an_administrators_token_is_a_users(
        scopes in any_scopes(), action in any_action(), object in any_object(),
    ) {
        if !scopes.allows(Scope::Admin) {
            let [user, admin] = [Role::User, Role::Admin].map(|role| allows(person(role, Means::Token(scopes)), action, object));
            prop_assert_eq!(user, admin);
        }
    }
}
