//! An image, fetched layer by layer.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream};
use tokio::time::timeout;

use super::errors::{About, one_line};
use super::{DockerEngine, EngineError, LayerNews, ORDINARY, reference};
use crate::desktop::progress::LayerState;

/// How long the engine may say nothing during a pull. It may take any time in all.
const SILENCE: Duration = Duration::from_secs(300);

/// Layers whose size is remembered; an image has at most 127.
const MOST_LAYERS: usize = 256;

type News = Result<CreateImageInfo, Error>;

/// A pull under way.
struct Pull<'a> {
    engine: &'a DockerEngine,
    image: &'a str,
    news: BoxStream<'a, News>,
    sizes: Sizes,
}

enum Step {
    Layer(LayerNews),
    Nothing,
    End,
}

impl DockerEngine {
    pub(super) async fn image_is_here(&self, image: &str) -> Result<bool, EngineError> {
        reference::split(image)?;
        let found = self.ask(ORDINARY, About::Image, |docker| async move { docker.inspect_image(image).await }).await;
        match found {
            Ok(_) => Ok(true),
            Err(EngineError::NoSuchImage(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    pub(super) fn pull_layers<'a>(&'a self, image: &'a str) -> BoxStream<'a, Result<LayerNews, EngineError>> {
        let pull = match self.begin(image) {
            Ok(pull) => pull,
            Err(error) => return stream::once(ready(Err(error))).boxed(),
        };
        stream::unfold(Some(pull), |pull| async move {
            let mut pull = pull?;
            loop {
                match pull.step().await {
                    Ok(Step::Layer(news)) => return Some((Ok(news), Some(pull))),
                    Ok(Step::Nothing) => {}
                    Ok(Step::End) => return None,
                    Err(error) => return Some((Err(error), None)),
                }
            }
        })
        .boxed()
    }

    fn begin<'a>(&'a self, image: &'a str) -> Result<Pull<'a>, EngineError> {
        let reference = reference::split(image)?;
        let docker = self.docker()?;
        let options = CreateImageOptionsBuilder::new().from_image(reference.name).tag(reference.tag).build();
        let news = docker.create_image(Some(options), None, None).boxed();
        Ok(Pull { engine: self, image, news, sizes: Sizes::default() })
    }
}

impl Pull<'_> {
    async fn step(&mut self) -> Result<Step, EngineError> {
        let Ok(news) = timeout(SILENCE, self.news.next()).await else {
            return Err(EngineError::Other(format!(
                "the engine has said nothing of the pull for {} s",
                SILENCE.as_secs()
            )));
        };
        match news {
            Some(Ok(news)) => Ok(self.sizes.read(&news).map_or(Step::Nothing, Step::Layer)),
            Some(Err(error)) => Err(self.failed(&error)),
            // An engine may end its answer without a word of what went wrong: only the image proves that it is there.
            None if self.engine.image_is_here(self.image).await? => Ok(Step::End),
            None => Err(EngineError::Other(format!("the pull has ended, but {} is not there", one_line(self.image)))),
        }
    }

    fn failed(&self, error: &Error) -> EngineError {
        self.engine.failed(error, About::Image)
    }
}

/// The size of each layer's download, which the engine leaves out once it is done.
#[derive(Default)]
struct Sizes(HashMap<String, u64>);

impl Sizes {
    /// None: it is not about a layer.
    fn read(&mut self, news: &CreateImageInfo) -> Option<LayerNews> {
        let (id, status) = (news.id.clone()?, news.status.as_deref()?);
        let detail = news.progress_detail.as_ref();
        let current = detail.and_then(|detail| u64::try_from(detail.current?).ok());
        let total = detail.and_then(|detail| u64::try_from(detail.total?).ok()).filter(|total| *total > 0);
        let (state, done, total) = match status {
            "Pulling fs layer" | "Waiting" => (LayerState::Waiting, None, None),
            "Downloading" => {
                self.remember(&id, total);
                (LayerState::Downloading, current, total)
            }
            "Verifying Checksum" | "Download complete" => {
                let size = self.0.get(&id).copied();
                (LayerState::Downloading, size, size)
            }
            "Extracting" => (LayerState::Extracting, current, total),
            "Pull complete" | "Already exists" => (LayerState::Done, None, None),
            again if again.starts_with("Retrying in") => (LayerState::Waiting, None, None),
            _ => return None,
        };
        Some(LayerNews { id, state, done, total })
    }

    fn remember(&mut self, id: &str, total: Option<u64>) {
        let Some(total) = total else { return };
        if self.0.len() < MOST_LAYERS || self.0.contains_key(id) {
            self.0.insert(id.to_owned(), total);
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn says(id: Option<&str>, status: &str, progress: Option<(i64, i64)>) -> CreateImageInfo {
        CreateImageInfo {
            id: id.map(str::to_owned),
            status: Some(status.to_owned()),
            progress_detail: progress
                .map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) }),
            ..Default::default()
        }
    }

    #[test]
    fn a_layer_goes_through_its_states() {
        let mut sizes = Sizes::default();
        for (status, progress, state, done, total) in [
            ("Pulling fs layer", None, LayerState::Waiting, None, None),
            ("Waiting", None, LayerState::Waiting, None, None),
            ("Downloading", Some((10, 100)), LayerState::Downloading, Some(10), Some(100)),
            ("Retrying in 3 seconds", None, LayerState::Waiting, None, None),
            ("Downloading", Some((20, -1)), LayerState::Downloading, Some(20), None),
            ("Verifying Checksum", None, LayerState::Downloading, Some(100), Some(100)),
            ("Download complete", None, LayerState::Downloading, Some(100), Some(100)),
            ("Extracting", Some((5, 100)), LayerState::Extracting, Some(5), Some(100)),
            ("Pull complete", None, LayerState::Done, None, None),
            ("Already exists", None, LayerState::Done, None, None),
        ] {
            let expected = LayerNews { id: "a".into(), state, done, total };
            assert_eq!(sizes.read(&says(Some("a"), status, progress)), Some(expected), "{status}");
        }
        let small = sizes.read(&says(Some("b"), "Download complete", None)).unwrap();
        assert_eq!((small.done, small.total), (None, None), "its size was never told");
    }

    #[test]
    fn what_is_not_about_a_layer_is_passed_over() {
        let mut sizes = Sizes::default();
        for news in [
            says(Some("1"), "Pulling from library/busybox", None),
            says(None, "Digest: sha256:00ff", None),
            says(None, "Status: Downloaded newer image for busybox:1", None),
            CreateImageInfo::default(),
        ] {
            assert_eq!(sizes.read(&news), None);
        }
    }

    #[test]
    fn no_more_sizes_are_kept_than_an_image_has_layers() {
        let mut sizes = Sizes::default();
        for n in 0..1000 {
            sizes.read(&says(Some(&n.to_string()), "Downloading", Some((1, 2))));
        }
        assert_eq!(sizes.0.len(), MOST_LAYERS);
    }
}
