//! What the gateway needs to know of each desktop: an immutable snapshot that the supervisor publishes anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use tokio_util::sync::CancellationToken;

use super::{Kind, Status};
use crate::upstream::Upstream;

/// Every desktop by its `proxy_path`.
#[derive(Clone, Default)]
pub struct Routes {
    by_path: HashMap<String, Arc<Route>>,
}

/// One desktop as the gateway sees it.
#[derive(Clone)]
pub struct Route {
    pub desktop_id: String,
    pub owner_id: String,
    pub proxy_path: String,
    /// What the type is called to people.
    pub label: String,
    pub kind: Kind,
    pub status: Status,
    /// Where requests go; Some while it is ready.
    pub upstream: Option<Upstream>,
    /// Whether `/desktop/{proxy_path}` is taken off the path before it goes upstream.
    pub strip_prefix: bool,
    /// Where `/desktop/{proxy_path}` leads, below it: the type's entry path, filled in.
    pub entry_path: String,
    pub activity: Arc<Activity>,
    /// Cancelled when this run of the desktop ends: whatever is open to it is cut.
    pub cut: CancellationToken,
}

impl Routes {
    pub fn get(&self, proxy_path: &str) -> Option<&Arc<Route>> {
        self.by_path.get(proxy_path)
    }
}

impl FromIterator<Arc<Route>> for Routes {
    fn from_iter<I: IntoIterator<Item = Arc<Route>>>(routes: I) -> Self {
        Self { by_path: routes.into_iter().map(|route| (route.proxy_path.clone(), route)).collect() }
    }
}

/// What the gateway saw of a desktop's use. Its container gathers it from time to time.
#[derive(Debug, Default)]
pub struct Activity {
    /// The last request or frame, in milliseconds since 1970; 0: none yet.
    accessed: AtomicI64,
    /// The last input of the person.
    input: AtomicI64,
    /// Connections that are open now.
    open: AtomicU32,
}

impl Activity {
    /// Something was asked of the desktop.
    pub fn note_access(&self, now: i64) {
        self.accessed.fetch_max(now, Ordering::Relaxed);
    }

    /// The person did something: a key, a pointer, the clipboard.
    pub fn note_input(&self, now: i64) {
        self.note_access(now);
        self.input.fetch_max(now, Ordering::Relaxed);
    }

    pub fn accessed(&self) -> i64 {
        self.accessed.load(Ordering::Relaxed)
    }

    pub fn input(&self) -> i64 {
        self.input.load(Ordering::Relaxed)
    }

    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Count a connection for as long as the answer lives.
    pub fn connection(self: &Arc<Self>) -> OpenConnection {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self.clone())
    }
}

/// A connection to a desktop that is counted.
pub struct OpenConnection(Arc<Activity>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_is_counted_and_time_does_not_run_back() {
        let activity = Arc::new(Activity::default());
        activity.note_access(5);
        assert_eq!((activity.accessed(), activity.input()), (5, 0));
        activity.note_input(9);
        activity.note_input(7);
        assert_eq!((activity.accessed(), activity.input()), (9, 9));
        let (one, two) = (activity.connection(), activity.connection());
        assert_eq!(activity.open(), 2);
        drop((one, two));
        assert_eq!(activity.open(), 0);
    }
}
