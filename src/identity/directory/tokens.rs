//! API tokens: made and revoked.

use actix::prelude::*;

use super::super::limits::{self, Limited};
use super::super::news::{Event, Subject};
use super::super::scopes::ScopeSet;
use super::super::secrets::{API_TOKEN, hash_token, new_token};
use super::{Directory, when_missing};
use crate::clock::now_ms;
use crate::error::Error;
use crate::store::models::TokenRow;
use crate::store::values::new_id;
use crate::store::{Connection, tokens};

/// Make a token. The policy was asked before.
#[derive(Message)]
#[rtype(result = "Result<MadeToken, Error>")]
pub struct CreateToken {
    pub owner_id: String,
    pub name: String,
    pub scopes: ScopeSet,
    /// In milliseconds since 1970.
    pub expires_at: Option<i64>,
}

/// A token that was made.
#[derive(Debug)]
pub struct MadeToken {
    pub row: TokenRow,
    /// What its owner is shown this once.
    pub token: String,
}

/// Make the token with this id void.
#[derive(Message)]
#[rtype(result = "Result<(), Error>")]
pub struct RevokeToken(pub String);

impl Handler<CreateToken> for Directory {
    type Result = ResponseActFuture<Self, Result<MadeToken, Error>>;

    fn handle(&mut self, new: CreateToken, _: &mut Self::Context) -> Self::Result {
        let token = new_token(API_TOKEN);
        let row = TokenRow {
            id: new_id(),
            user_id: new.owner_id,
            name: new.name,
            token_hash: hash_token(&token),
            scopes: new.scopes.to_string(),
            created_at: now_ms(),
            expires_at: new.expires_at,
            last_used: None,
        };
        let stored = row.clone();
        let prepare = move |directory: &Self| {
            let limits = directory.limits_of(&stored.user_id)?;
            // What has expired takes nobody's place.
            let now = now_ms();
            let live = |token: &&std::sync::Arc<TokenRow>| token.expires_at.is_none_or(|end| now < end);
            let present = directory.snapshot.tokens_of(&stored.user_id).filter(live).count();
            limits::check(Limited::Tokens, limits.tokens, present)?;
            Ok(move |c: &mut Connection| tokens::insert(c, &stored))
        };
        self.change(prepare, Error::from, move |directory, ()| {
            directory.snapshot.put_token(row.clone());
            directory.publish_token("token.created", &row);
            MadeToken { row, token }
        })
    }
}

impl Handler<RevokeToken> for Directory {
    type Result = ResponseActFuture<Self, Result<(), Error>>;

    fn handle(&mut self, RevokeToken(id): RevokeToken, _: &mut Self::Context) -> Self::Result {
        let (stored, unknown) = (id.clone(), id.clone());
        let prepare = move |_: &Self| Ok(move |c: &mut Connection| tokens::remove(c, &stored));
        self.change(prepare, when_missing(Error::TokenUnknown(unknown)), move |directory, ()| {
            let Some(row) = directory.snapshot.token_by_id(&id).cloned() else { return };
            directory.snapshot.remove_token(&row.token_hash);
            directory.publish_token("token.deleted", &row);
        })
    }
}

impl Directory {
    fn publish_token(&self, name: &'static str, row: &TokenRow) {
        let subject = Subject::Token { owner_id: row.user_id.clone(), scopes: ScopeSet::of_row(&row.scopes) };
        (self.announce)(Event::new(name, &row.id, subject));
    }
}
