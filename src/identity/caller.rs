//! Who calls the API, known by an API token.

use super::policy::{self, Role};
use super::scopes::Scope;
use super::secrets::hash_token;
use crate::clock::now_ms;
use crate::error::Error;
use crate::store::models::{TokenRow, UserRow};
use crate::store::{Store, tokens};

/// The one answer to every token that is not right, so that it tells nothing about which there are.
const NO_SUCH_TOKEN: &str = "this API token is unknown, has expired, or its account is not active";

/// Somebody whose token was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub user_id: String,
    pub username: String,
    pub role: Role,
    pub scopes: Vec<Scope>,
    pub token_id: String,
}

impl Caller {
    /// # Errors
    /// `Forbidden`, naming what is lacking.
    pub fn require(&self, needed: Scope) -> Result<(), Error> {
        policy::may(self.role, &self.scopes, needed).map_err(|denied| Error::Forbidden(denied.to_string()))
    }
}

/// Find out whose token this is.
///
/// # Errors
/// `Unauthenticated` for a token that is unknown or expired or of an inactive account; those of the database.
pub async fn authenticate_token(store: &Store, bearer: &str) -> Result<Caller, Error> {
    // Found by its hash: who guesses learns nothing from the time that takes, since the hash is not theirs to choose.
    let hash = hash_token(bearer);
    let found = store.run(move |c| tokens::find_by_hash(c, &hash)).await?;
    let now = now_ms();
    let (token, user) =
        found.filter(|(token, user)| is_valid(token, user, now)).ok_or(Error::Unauthenticated(NO_SUCH_TOKEN))?;
    if tokens::use_is_news(&token, now) {
        note_used(store, token.id.clone(), now).await;
    }
    Ok(Caller {
        user_id: user.id,
        username: user.username,
        role: Role::of_row(&user.role),
        scopes: Scope::split(&token.scopes),
        token_id: token.id,
    })
}

fn is_valid(token: &TokenRow, user: &UserRow, now: i64) -> bool {
    user.active && token.expires_at.is_none_or(|end| now < end)
}

/// A database that takes no writes just now must not lock anybody out.
async fn note_used(store: &Store, id: String, now: i64) {
    if let Err(error) = store.run(move |c| tokens::note_used(c, &id, now)).await {
        tracing::warn!(%error, "cannot store the use of an API token");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::secrets::{API_TOKEN, new_token};
    use crate::store::testing::{self, TestDatabase, user};
    use crate::store::users;

    fn with_token(change: impl FnOnce(&mut TokenRow, &mut UserRow)) -> (TestDatabase, String) {
        let database = testing::database();
        let shown = new_token(API_TOKEN);
        let mut alice = user("alice");
        let mut token = TokenRow {
            id: "t1".into(),
            user_id: alice.id.clone(),
            name: "ci".into(),
            token_hash: hash_token(&shown),
            scopes: "tunnels:read later:scope".into(),
            created_at: 1,
            expires_at: None,
            last_used: None,
        };
        change(&mut token, &mut alice);
        database.store.run_now(|c| users::insert(c, &alice).and(tokens::insert(c, &token))).unwrap();
        (database, shown)
    }

    #[tokio::test]
    async fn a_right_token_tells_who_calls() {
        let (database, shown) = with_token(|_, _| {});
        let caller = authenticate_token(&database.store, &shown).await.unwrap();
        assert_eq!((caller.username.as_str(), caller.token_id.as_str()), ("alice", "t1"));
        assert_eq!((caller.role, caller.scopes.as_slice()), (Role::Admin, [Scope::TunnelsRead].as_slice()));
        assert!(caller.require(Scope::TunnelsRead).is_ok());
        let refused = caller.require(Scope::TunnelsWrite).unwrap_err();
        assert!(matches!(refused, Error::Forbidden(text) if text.contains("tunnels:write")));
        let row = database.store.run_now(tokens::list).unwrap().remove(0).0;
        assert!(row.last_used.is_some_and(|at| now_ms() - at < 60_000));
    }

    #[tokio::test]
    async fn no_use_is_written_within_a_minute() {
        let (database, shown) = with_token(|token, _| token.last_used = Some(now_ms() - 1_000));
        let before = database.store.revision().await.unwrap();
        authenticate_token(&database.store, &shown).await.unwrap();
        assert_eq!(database.store.revision().await.unwrap(), before);
    }

    #[tokio::test]
    async fn wrong_tokens_get_one_answer() {
        let (database, shown) = with_token(|_, _| {});
        let (expired, expired_token) = with_token(|token, _| token.expires_at = Some(now_ms() - 1));
        let (inactive, inactive_token) = with_token(|_, alice| alice.active = false);
        let cases = [
            (&database, "dwt_unknown".to_owned()),
            (&database, String::new()),
            (&database, hash_token(&shown)),
            (&expired, expired_token),
            (&inactive, inactive_token),
        ];
        for (database, token) in cases {
            let refused = authenticate_token(&database.store, &token).await.unwrap_err();
            assert!(matches!(refused, Error::Unauthenticated(NO_SUCH_TOKEN)), "{refused:?}");
        }
    }

    #[tokio::test]
    async fn a_plain_user_may_do_nothing_yet() {
        let (database, shown) = with_token(|_, alice| alice.role = "user".into());
        let caller = authenticate_token(&database.store, &shown).await.unwrap();
        assert!(matches!(caller.require(Scope::TunnelsRead), Err(Error::Forbidden(_))));
    }
}
