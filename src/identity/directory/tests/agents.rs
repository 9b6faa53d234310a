//! Agents and tokens: made, changed, removed, and how many.

use super::super::{
    ChangeAgent, ChangeUser, CreateToken, EnrolAgent, RemoveAgent, RevokeToken, RotateAgent, UserChanges,
};
use super::rig::{Rig, code, id};
use crate::clock::now_ms;
use crate::error::Error;
use crate::identity::agents::authenticate_agent;
use crate::identity::{Credential, Scope};
use crate::store::testing::proxy;
use crate::store::{agents, proxies, tokens};

fn enrol(client_id: &str, owner: &str) -> EnrolAgent {
    EnrolAgent { client_id: client_id.into(), owner_id: id(owner), shared: false }
}

fn hand_over(client_id: &str, owner: &str) -> ChangeAgent {
    ChangeAgent { client_id: client_id.into(), owner_id: Some(id(owner)), shared: None }
}

async fn limit(rig: &Rig, name: &str, changes: UserChanges) {
    rig.tell(ChangeUser { user_id: id(name), changes }).await.unwrap();
}

#[actix::test]
async fn an_agent_logs_in_with_its_newest_token_until_it_is_removed() {
    let rig = Rig::start(&["root"]).await;
    let (row, first) = rig.tell(enrol("pc1", "root")).await.unwrap();
    assert_eq!(*authenticate_agent(&rig.snapshot(), "pc1", &first).unwrap(), row);
    let (row, second) = rig.tell(RotateAgent("pc1".into())).await.unwrap();
    assert!(authenticate_agent(&rig.snapshot(), "pc1", &first).is_err());
    assert_eq!(*authenticate_agent(&rig.snapshot(), "pc1", &second).unwrap(), row);
    assert_eq!(rig.database.store.run_now(agents::list).unwrap(), [row]);
    rig.tell(RemoveAgent("pc1".into())).await.unwrap();
    assert!(authenticate_agent(&rig.snapshot(), "pc1", &second).is_err());
    for refused in [
        code(rig.tell(RemoveAgent("pc1".into())).await),
        code(rig.tell(RotateAgent("pc1".into())).await),
        code(rig.tell(hand_over("pc1", "root")).await),
    ] {
        assert_eq!(refused, "agent_unknown");
    }
}

#[actix::test]
async fn what_makes_no_agent() {
    let rig = Rig::start(&["root"]).await;
    rig.tell(enrol("pc1", "root")).await.unwrap();
    assert_eq!(code(rig.tell(enrol("pc1", "root")).await), "agent_exists");
    assert_eq!(code(rig.tell(enrol("two words", "root")).await), "invalid");
    assert_eq!(code(rig.tell(enrol("pc2", "nobody")).await), "user_unknown");
    rig.database
        .store
        .run_now(|c| {
            proxies::insert(c, &crate::store::models::ProxyRow { owner_id: id("root"), ..proxy("p1", "pc1", 20_020) })
        })
        .unwrap();
    assert_eq!(code(rig.tell(RemoveAgent("pc1".into())).await), "agent_in_use");
    assert!(rig.snapshot().agent("pc1").is_some() && rig.snapshot().agents().count() == 1);
}

#[actix::test]
async fn nobody_has_more_agents_than_the_limit_however_they_come() {
    let rig = Rig::start(&["root", "alice", "bob"]).await;
    limit(&rig, "alice", UserChanges { max_agents: Some(Some(2)), ..UserChanges::default() }).await;
    for name in ["pc1", "pc2"] {
        rig.tell(enrol(name, "alice")).await.unwrap();
    }
    rig.tell(enrol("pc3", "bob")).await.unwrap();
    let Err(Error::LimitReached { kind, limit: most }) = rig.tell(enrol("pc4", "alice")).await else {
        panic!("a third agent")
    };
    assert_eq!((kind, most), ("agents", 2));
    assert_eq!(code(rig.tell(hand_over("pc3", "alice")).await), "limit_reached");
    assert_eq!(rig.snapshot().agent("pc3").unwrap().owner_id, id("bob"));
    // Its own stays its own, and what is given away makes room.
    let shared = ChangeAgent { client_id: "pc1".into(), owner_id: Some(id("alice")), shared: Some(true) };
    assert!(rig.tell(shared).await.unwrap().shared);
    assert_eq!(rig.tell(hand_over("pc2", "bob")).await.unwrap().owner_id, id("bob"));
    rig.tell(hand_over("pc3", "alice")).await.unwrap();
    limit(&rig, "bob", UserChanges { max_agents: Some(Some(0)), ..UserChanges::default() }).await;
    assert_eq!(code(rig.tell(enrol("pc5", "bob")).await), "limit_reached");
    let mut published: Vec<_> = rig.snapshot().agents().map(|row| (**row).clone()).collect();
    published.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    assert_eq!(published, rig.database.store.run_now(agents::list).unwrap());
}

#[actix::test]
async fn a_token_works_until_it_expires_or_is_revoked() {
    let rig = Rig::start(&["root", "alice"]).await;
    let create = |expires_at| CreateToken {
        owner_id: id("alice"),
        name: "ci".into(),
        scopes: [Scope::TunnelsRead].into_iter().collect(),
        expires_at,
    };
    let lasting = rig.tell(create(None)).await.unwrap();
    let ending = rig.tell(create(Some(now_ms() + 60_000))).await.unwrap();
    let (lasts, ends) = (Credential::of_bearer(&lasting.token), Credential::of_bearer(&ending.token));
    assert_eq!((rig.name_at(&lasts, 59_000), rig.name_at(&ends, 59_000)), (Some("alice".into()), Some("alice".into())));
    assert_eq!((rig.name_at(&lasts, 60_000), rig.name_at(&ends, 60_000)), (Some("alice".into()), None));
    assert_eq!(rig.name_at(&Credential::of_cookie(&lasting.token), 0), None, "a token is no session");
    assert!(!rig.database.store.run_now(tokens::list).unwrap().iter().any(|(row, _)| row.token_hash == lasting.token));

    rig.tell(RevokeToken(lasting.row.id.clone())).await.unwrap();
    assert_eq!(rig.name_at(&lasts, 0), None);
    assert_eq!(code(rig.tell(RevokeToken(lasting.row.id)).await), "token_unknown");
    let for_nobody = CreateToken { owner_id: "none".into(), ..create(None) };
    assert_eq!(code(rig.tell(for_nobody).await), "user_unknown");
    assert_eq!(rig.database.store.run_now(tokens::list).unwrap().len(), 1);
}

#[actix::test]
async fn what_has_expired_takes_no_place_among_the_tokens() {
    let rig = Rig::start(&["root", "alice"]).await;
    limit(&rig, "alice", UserChanges { max_tokens: Some(Some(1)), ..UserChanges::default() }).await;
    let create = |expires_at| CreateToken {
        owner_id: id("alice"),
        name: "ci".into(),
        scopes: [Scope::TunnelsRead].into_iter().collect(),
        expires_at,
    };
    rig.tell(create(Some(now_ms() - 1))).await.unwrap();
    rig.tell(create(None)).await.unwrap();
    assert_eq!(code(rig.tell(create(None)).await), "limit_reached");
    rig.tell(CreateToken { owner_id: id("root"), ..create(None) }).await.unwrap();
}
