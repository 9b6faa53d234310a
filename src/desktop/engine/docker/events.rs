//! What happens to containers, as the engine tells it.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, timeout};

use super::errors::About;
use super::{DockerEngine, EngineError, EngineEvent, ORDINARY};
use crate::desktop::engine::{Happening, LABEL_DESKTOP, LABEL_INSTALLATION};

/// After this long without an event the engine is asked whether it is still there: a peer that vanished says nothing.
const SILENCE: Duration = Duration::from_secs(30);

type Events = BoxStream<'static, Result<EventMessage, Error>>;

/// A stream of events that goes on until it fails.
struct Following<'a> {
    engine: &'a DockerEngine,
    events: Events,
}

impl DockerEngine {
    /// Events since this call, however late the stream is first looked at.
    pub(super) fn follow<'a>(&'a self, installation: &'a str) -> BoxStream<'a, Result<EngineEvent, EngineError>> {
        let called = Instant::now();
        let begun = async move { self.subscribe(installation, called).await };
        stream::once(begun)
            .flat_map(|begun| match begun {
                Ok(events) => self.told_until_it_fails(events),
                Err(error) => stream::once(ready(Err(error))).boxed(),
            })
            .boxed()
    }

    async fn subscribe(&self, installation: &str, called: Instant) -> Result<Events, EngineError> {
        let info = self.ask(ORDINARY, About::Engine, |docker| async move { docker.info().await }).await?;
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![format!("{LABEL_INSTALLATION}={installation}")]),
        ]);
        let mut options = EventsOptionsBuilder::new().filters(&filters);
        // By the engine's clock, which may be another than ours.
        if let Some(since) = info.system_time.and_then(|now| moment(&now, called.elapsed())) {
            options = options.since(&since);
        }
        let docker: Docker = self.docker()?;
        Ok(docker.events(Some(options.build())).boxed())
    }

    fn told_until_it_fails(&self, events: Events) -> BoxStream<'_, Result<EngineEvent, EngineError>> {
        let following = Following { engine: self, events };
        stream::unfold(Some(following), |following| async move {
            let mut following = following?;
            match following.next().await {
                Ok(event) => Some((Ok(event), Some(following))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}

impl Following<'_> {
    async fn next(&mut self) -> Result<EngineEvent, EngineError> {
        loop {
            let Ok(event) = timeout(SILENCE, self.events.next()).await else {
                self.engine.ask(ORDINARY, About::Engine, |docker| async move { docker.ping().await }).await?;
                continue;
            };
            match event {
                Some(Ok(message)) => {
                    if let Some(event) = read(message) {
                        return Ok(event);
                    }
                }
                Some(Err(error)) => return Err(self.engine.failed(&error, About::Engine)),
                None => return Err(EngineError::Unavailable("it has ended the stream of its events".to_owned())),
            }
        }
    }
}

/// Seconds since 1970, with nine digits behind the point, of the moment `ago` before `now`.
fn moment(now: &str, ago: Duration) -> Option<String> {
    let moment = OffsetDateTime::parse(now, &Rfc3339).ok()? - ago;
    Some(format!("{}.{:09}", moment.unix_timestamp(), moment.nanosecond()))
}

/// None: it is of no interest, or belongs to no desktop.
fn read(message: EventMessage) -> Option<EngineEvent> {
    let (action, actor) = (message.action?, message.actor?);
    let attributes = actor.attributes.unwrap_or_default();
    let desktop_id = attributes.get(LABEL_DESKTOP)?.clone();
    Some(EngineEvent { container_id: actor.id?, desktop_id, what: happening(&action, &attributes)? })
}

/// Docker's words, and Podman's where they differ.
fn happening(action: &str, attributes: &HashMap<String, String>) -> Option<Happening> {
    let attribute = |names: &[&str]| names.iter().find_map(|name| attributes.get(*name));
    Some(match action {
        "start" => Happening::Started,
        "die" | "died" => {
            let exit_code = attribute(&["exitCode", "containerExitCode"]);
            Happening::Died { exit_code: exit_code.and_then(|code| code.parse().ok()).unwrap_or_default() }
        }
        "oom" => Happening::OutOfMemory,
        "kill" => Happening::Killed { signal: attribute(&["signal"]).cloned().unwrap_or_default() },
        "stop" => Happening::Stopped,
        "destroy" | "remove" => Happening::Destroyed,
        health => {
            let said = health.strip_prefix("health_status")?;
            let said = said.strip_prefix(": ").or_else(|| attribute(&["health_status"]).map(String::as_str))?;
            match said {
                "healthy" => Happening::Healthy(true),
                "unhealthy" => Happening::Healthy(false),
                _ => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    fn told(action: &str, attributes: &[(&str, &str)]) -> Option<EngineEvent> {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let actor = EventActor { id: Some("c".into()), attributes: Some(attributes) };
        read(EventMessage { action: Some(action.into()), actor: Some(actor), ..Default::default() })
    }

    #[test]
    fn the_words_of_both_engines_are_understood() {
        for (action, attributes, what) in [
            ("start", vec![], Happening::Started),
            ("die", vec![("exitCode", "137")], Happening::Died { exit_code: 137 }),
            ("died", vec![("containerExitCode", "3")], Happening::Died { exit_code: 3 }),
            ("oom", vec![], Happening::OutOfMemory),
            ("kill", vec![("signal", "15")], Happening::Killed { signal: "15".into() }),
            ("stop", vec![], Happening::Stopped),
            ("destroy", vec![], Happening::Destroyed),
            ("remove", vec![], Happening::Destroyed),
            ("health_status: healthy", vec![], Happening::Healthy(true)),
            ("health_status: unhealthy", vec![], Happening::Healthy(false)),
            ("health_status", vec![("health_status", "healthy")], Happening::Healthy(true)),
        ] {
            let mut attributes = attributes;
            attributes.push((LABEL_DESKTOP, "d"));
            let expected = EngineEvent { container_id: "c".into(), desktop_id: "d".into(), what };
            assert_eq!(told(action, &attributes), Some(expected), "{action}");
        }
    }

    #[test]
    fn everything_else_is_passed_over() {
        for action in ["create", "exec_start: sh", "attach", "health_status: starting", "health_status", "cleanup"] {
            assert_eq!(told(action, &[(LABEL_DESKTOP, "d")]), None, "{action}");
        }
        assert_eq!(told("start", &[]), None, "it belongs to no desktop");
        assert_eq!(read(EventMessage::default()), None);
    }

    #[test]
    fn the_moment_of_the_call_is_told_by_the_engines_clock() {
        let now = "2026-01-02T03:04:05.500000001Z";
        assert_eq!(moment(now, Duration::from_secs(1)).as_deref(), Some("1767323044.500000001"));
        assert_eq!(moment("2026-01-02T03:04:05+01:00", Duration::ZERO).as_deref(), Some("1767319445.000000000"));
        assert_eq!(moment("yesterday", Duration::ZERO), None);
    }
}
