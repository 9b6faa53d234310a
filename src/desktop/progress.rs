//! How far the pull of an image is, layer by layer. Pure.

use serde::Serialize;
use utoipa::ToSchema;

/// Layers of one image that are kept; an image has at most 127.
const MOST_LAYERS: usize = 256;

/// What the engine says of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerNews {
    pub id: String,
    pub state: LayerState,
    /// Bytes of this step done, and in all, where the engine knows.
    pub done: Option<u64>,
    pub total: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LayerState {
    Waiting,
    Downloading,
    Extracting,
    Done,
}

/// One layer as the API shows it; sizes in bytes of the download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Layer {
    pub id: String,
    pub state: LayerState,
    pub done: u64,
    /// 0 while it is not known.
    pub total: u64,
}

/// How far the pull is, all layers together; sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
    pub layers: Vec<Layer>,
}

impl Progress {
    /// Take in what the engine says. Whether anything changed.
    pub fn take(&mut self, news: LayerNews) -> bool {
        let before = self.layers.iter().position(|layer| layer.id == news.id);
        let place = match before {
            Some(place) => place,
            None if self.layers.len() >= MOST_LAYERS => return false,
            None => {
                self.layers.push(Layer { id: news.id.clone(), state: LayerState::Waiting, done: 0, total: 0 });
                self.layers.len() - 1
            }
        };
        let layer = &mut self.layers[place];
        let old = layer.clone();
        layer.advance(&news);
        let changed = before.is_none() || *layer != old;
        self.done = self.layers.iter().map(|layer| layer.done).sum();
        self.total = self.layers.iter().map(|layer| layer.total).sum();
        changed
    }
}

impl Layer {
    fn advance(&mut self, news: &LayerNews) {
        self.state = news.state;
        match news.state {
            LayerState::Waiting => {}
            LayerState::Downloading => {
                self.total = news.total.unwrap_or(self.total);
                self.done = news.done.unwrap_or(self.done).min(self.total.max(news.done.unwrap_or(0)));
            }
            LayerState::Extracting | LayerState::Done => self.done = self.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(id: &str, state: LayerState, done: Option<u64>, total: Option<u64>) -> LayerNews {
        LayerNews { id: id.into(), state, done, total }
    }

    #[test]
    fn layers_add_up() {
        let mut progress = Progress::default();
        assert!(progress.take(news("a", LayerState::Waiting, None, None)));
        assert!(progress.take(news("a", LayerState::Downloading, Some(10), Some(100))));
        assert!(progress.take(news("b", LayerState::Downloading, Some(5), Some(50))));
        assert_eq!((progress.done, progress.total), (15, 150));
        assert!(!progress.take(news("b", LayerState::Downloading, Some(5), Some(50))), "nothing new");
        assert!(progress.take(news("b", LayerState::Extracting, Some(1), Some(50))));
        assert!(progress.take(news("a", LayerState::Done, None, None)));
        assert_eq!((progress.done, progress.total), (150, 150));
        assert_eq!(
            progress.layers.iter().map(|layer| layer.state).collect::<Vec<_>>(),
            [LayerState::Done, LayerState::Extracting]
        );
    }

    #[test]
    fn what_is_here_already_counts_nothing() {
        let mut progress = Progress::default();
        progress.take(news("a", LayerState::Done, None, None));
        assert_eq!((progress.done, progress.total), (0, 0));
    }

    #[test]
    fn an_engine_that_names_no_end_of_layers_is_not_followed() {
        let mut progress = Progress::default();
        for n in 0..1000 {
            progress.take(news(&n.to_string(), LayerState::Waiting, None, None));
        }
        assert_eq!(progress.layers.len(), MOST_LAYERS);
    }
}
