//! Events as the body of an HTTP answer: server-sent events (WHATWG HTML, "Server-sent events").
//!
//! The connection polls the body only while the client takes bytes, so nothing is kept for one that does not.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::timeout;

use super::{Ended, Feed, Item};

/// Something is sent at least this often, so that proxies keep the connection and a dead client is noticed.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);
/// Sent at once, so that clients see that the stream is open.
const OPENING: &str = ": events follow\n\n";
const NOTHING_NEW: &str = ":\n\n";

/// What comes next.
enum Stage {
    Opening(Feed),
    Running(Feed),
    Over,
}

/// The body.
pub fn body(feed: Feed) -> impl Stream<Item = Result<Bytes, Infallible>> {
    futures_util::stream::unfold(Stage::Opening(feed), |stage| async move {
        let (text, next) = match stage {
            Stage::Opening(feed) => (OPENING.into(), Stage::Running(feed)),
            Stage::Running(mut feed) => match timeout(COMMENT_INTERVAL, feed.next()).await {
                Err(_) => (NOTHING_NEW.into(), Stage::Running(feed)),
                Ok(Item::End(Ended::GoingAway)) => return None,
                Ok(end @ Item::End(_)) => (framed(end), Stage::Over),
                Ok(item) => (framed(item), Stage::Running(feed)),
            },
            Stage::Over => return None,
        };
        Some((Ok(Bytes::from(text)), next))
    })
}

/// JSON has no line end that is not escaped, so one `data` line holds it.
fn framed(item: Item) -> String {
    let name = item.name();
    format!("event: {name}\ndata: {}\n\n", item.into_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event() {
        let item = Item::Event { name: "tunnel.deleted", text: r#"{"id":"a\nb"}"#.into() };
        assert_eq!(framed(item), "event: tunnel.deleted\ndata: {\"id\":\"a\\nb\"}\n\n");
        assert_eq!(framed(Item::End(Ended::SignedOut)), "event: signed_out\ndata: {\"type\":\"signed_out\"}\n\n");
    }
}
