//! Images from a registry of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dockway::desktop::engine::docker::DockerEngine;
use dockway::desktop::engine::{Engine, EngineError};
use dockway::desktop::progress::{LayerNews, LayerState};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tempfile::TempDir;
use tokio::time::timeout;

use super::bench::{Bench, IMAGE, publish};
use super::link::Bridge;
use crate::common::{Process, Remote, SOON, wait_until};

/// MiB in each of the two layers that an image gets on top of [`IMAGE`]; they cannot be compressed.
const LAYER_MIB: u64 = 8;

/// How much of a connection's answer comes through a registry that stalls.
const BEFORE_THE_STALL: usize = 2 << 20;

pub struct Registry {
    pub port: u16,
    _process: Process,
    _directory: TempDir,
}

impl Registry {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = publish().host_port;
        let (config, storage) = (directory.path().join("config.yml"), directory.path().join("storage"));
        let settings = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n  secret: x\n",
            storage.display()
        );
        fs::write(&config, settings).expect("the settings");
        let process = Process::spawn("docker-registry", Command::new("docker-registry").arg("serve").arg(&config));
        wait_until("the registry listens", SOON, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        Self { port, _process: process, _directory: directory }
    }

    pub fn image(&self, port: u16) -> String {
        format!("127.0.0.1:{port}/some/image:1")
    }

    /// Push an image of three layers, and keep only the first of them on the engine.
    pub fn fill(&self, bench: &Bench) -> String {
        let image = self.image(self.port);
        let mut from = IMAGE.to_owned();
        for layer in ["one", "two"] {
            let name = format!("dockway-it-{}-{layer}", bench.installation);
            let label = format!("dockway.installation={}", bench.installation);
            let (count, file) = (format!("count={LAYER_MIB}"), format!("of=/{layer}"));
            let dd = ["dd", "if=/dev/urandom", "bs=1M", &count, &file];
            bench.cli(&[&["run", "--network", "none", "--label", &label, "--name", &name, &from], &dd[..]].concat());
            bench.cli(&["commit", "-c", "CMD sleep 100", &name, &image]);
            bench.cli(&["rm", &name]);
            from.clone_from(&image);
        }
        bench.cli(&["push", "-q", &image]);
        bench.cli(&["rmi", &image]);
        image
    }

    /// A way to it that lets only so much through on each connection, until it is told to go on.
    fn stalling(&self) -> (Remote, Arc<AtomicBool>) {
        let (port, goes_on) = (self.port, Arc::new(AtomicBool::new(false)));
        let told = goes_on.clone();
        let remote = Remote::start(move |stream| {
            let registry = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the registry runs");
            let (mut up, mut up_to) = (stream.try_clone().unwrap(), registry.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut up, &mut up_to));
            relay(registry, stream, &told);
        });
        (remote, goes_on)
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, goes_on: &AtomicBool) {
    let (mut buffer, mut passed) = (vec![0; 64 * 1024], 0);
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        while passed > BEFORE_THE_STALL && !goes_on.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
        passed += length;
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
}

/// All that a pull says, and how it ends.
pub async fn all(mut pull: BoxStream<'_, Result<LayerNews, EngineError>>) -> (Vec<LayerNews>, Result<(), EngineError>) {
    let mut news = vec![];
    loop {
        match timeout(SOON, pull.next()).await.expect("the pull goes on") {
            Some(Ok(one)) => news.push(one),
            Some(Err(error)) => {
                assert_eq!(pull.next().await, None);
                return (news, Err(error));
            }
            None => return (news, Ok(())),
        }
    }
}

/// Until bytes of a layer have come, but not all.
async fn until_in_the_middle(pull: &mut BoxStream<'_, Result<LayerNews, EngineError>>) {
    loop {
        let news = timeout(SOON, pull.next()).await.expect("news in time").expect("it goes on").expect("it goes well");
        if news.state == LayerState::Downloading && news.done.unwrap_or_default() > 0 {
            return assert!(news.done < news.total, "{news:?}");
        }
    }
}

#[tokio::test]
async fn an_image_comes_layer_by_layer() {
    let (bench, registry) = (Bench::docker(), Registry::start());
    let image = registry.fill(&bench);
    assert_eq!(bench.engine.has_image(&image).await, Ok(false));
    let (news, end) = all(bench.engine.pull(&image)).await;
    assert_eq!(end, Ok(()));
    assert_eq!(bench.engine.has_image(&image).await, Ok(true));
    let mut layers = BTreeMap::<_, Vec<_>>::new();
    for one in news {
        layers.entry(one.id.clone()).or_default().push(one);
    }
    assert_eq!(layers.len(), 3, "{layers:?}");
    assert!(layers.values().all(|said| said.last().is_some_and(|last| last.state == LayerState::Done)), "{layers:?}");
    let fetched: Vec<_> =
        layers.values().filter(|said| said.iter().any(|one| one.state == LayerState::Extracting)).collect();
    assert_eq!(fetched.len(), 2, "the first layer was there: {layers:?}");
    for said in fetched {
        let size = said.iter().rfind(|one| one.state == LayerState::Downloading).expect("it was fetched");
        assert!(size.done == size.total && size.total > Some(LAYER_MIB << 20), "{said:?}");
        assert!(said.windows(2).all(|pair| pair[0].state as u8 <= pair[1].state as u8), "{said:?}");
    }
    let digest = bench.cli(&["image", "inspect", "-f", "{{index .RepoDigests 0}}", &image]);
    let (_, end) = all(bench.engine.pull(&digest)).await;
    assert_eq!(end, Ok(()), "{digest}");
    bench.cli(&["rmi", &image]);
}

#[tokio::test]
async fn an_image_that_nobody_has_is_told_from_a_registry_that_is_down() {
    let (bench, registry) = (Bench::docker(), Registry::start());
    registry.fill(&bench);
    for name in [
        "some/image:9",
        "some/other:1",
        "some/image@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        let image = format!("127.0.0.1:{}/{name}", registry.port);
        let (_, end) = all(bench.engine.pull(&image)).await;
        assert!(matches!(end, Err(EngineError::NoSuchImage(_))), "{name}: {end:?}");
    }
    let (_, end) = all(bench.engine.pull("Not an image")).await;
    assert!(matches!(end, Err(EngineError::NoSuchImage(_))), "{end:?}");
    let (_, end) = all(bench.engine.pull(&format!("127.0.0.1:{}/x:1", publish().host_port))).await;
    let Err(EngineError::Other(message)) = end else { panic!("{end:?}") };
    assert!(message.contains("connection refused"), "{message}");
}

#[tokio::test]
async fn a_pull_that_is_given_up_can_be_made_again() {
    let (bench, registry) = (Bench::docker(), Registry::start());
    registry.fill(&bench);
    let (stalling, goes_on) = registry.stalling();
    let image = registry.image(stalling.port);
    let mut pull = bench.engine.pull(&image);
    until_in_the_middle(&mut pull).await;
    drop(pull);
    assert_eq!(bench.engine.has_image(&image).await, Ok(false));
    goes_on.store(true, Ordering::SeqCst);
    let (_, end) = all(bench.engine.pull(&image)).await;
    assert_eq!(end, Ok(()));
    bench.cli(&["rmi", &image]);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_a_pull_is_an_error() {
    let (bench, registry) = (Bench::docker(), Registry::start());
    registry.fill(&bench);
    let (stalling, goes_on) = registry.stalling();
    let (image, bridge) = (registry.image(stalling.port), Bridge::start());
    let engine = DockerEngine::at(Some(&bridge.host()), None).unwrap();
    let mut pull = engine.pull(&image);
    until_in_the_middle(&mut pull).await;
    bridge.cut();
    let (_, end) = all(pull).await;
    assert!(matches!(end, Err(EngineError::Unavailable(_))), "{end:?}");
    goes_on.store(true, Ordering::SeqCst);
}
