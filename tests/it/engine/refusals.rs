//! What an engine refuses, told apart.

use std::net::TcpListener;

use dockway::desktop::engine::{ContainerSpec, Engine, EngineError, Home, NetworkSpec, Publish};

use super::bench::{Bench, publish};

#[tokio::test]
async fn a_port_that_somebody_has() {
    let bench = Bench::docker();
    bench.engine.create_network(&bench.network).await.unwrap();
    // By a program of the host.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Publish { host_port: port, ..publish() };
    let spec = ContainerSpec { publish: Some(taken), ..bench.spec("late", "sleep 100") };
    let id = bench.engine.create(&spec).await.unwrap().container_id;
    assert_eq!(bench.engine.start(&id).await, Err(EngineError::PortTaken(port)));
    drop(listener);
    bench.engine.start(&id).await.expect("the same container, once the port is free");
    // By another container.
    let spec = ContainerSpec { publish: Some(taken), ..bench.spec("later", "sleep 100") };
    let id = bench.engine.create(&spec).await.unwrap().container_id;
    assert_eq!(bench.engine.start(&id).await, Err(EngineError::PortTaken(port)));
}

#[tokio::test]
async fn a_network_that_overlaps_and_names_that_are_taken() {
    let bench = Bench::docker();
    let (engine, network) = (&bench.engine, &bench.network);
    engine.create_network(network).await.unwrap();
    let other = NetworkSpec { name: format!("{}-other", network.name), ..network.clone() };
    assert_eq!(engine.create_network(&other).await, Err(EngineError::SubnetTaken(network.subnet)));
    assert!(matches!(engine.create_network(network).await, Err(EngineError::NameTaken(_))), "the same again");
    let spec = bench.spec("twice", "sleep 100");
    engine.create(&spec).await.unwrap();
    let again = engine.create(&spec).await;
    assert!(matches!(again, Err(EngineError::NameTaken(_))), "{again:?}");
}

#[tokio::test]
async fn an_image_and_a_network_that_are_not_there() {
    let bench = Bench::docker();
    let spec = ContainerSpec { image: "dockway-test/none:9".into(), ..bench.spec("none", "true") };
    let Err(EngineError::NoSuchImage(message)) = bench.engine.create(&spec).await else { panic!("no image") };
    assert!(message.contains("dockway-test/none:9"), "{message}");
    assert_eq!(bench.engine.has_image("dockway-test/none:9").await, Ok(false));
    let id = bench.engine.create(&bench.spec("alone", "true")).await.expect("its network is missed later").container_id;
    let Err(EngineError::Other(message)) = bench.engine.start(&id).await else { panic!("no network") };
    assert!(message.contains(&bench.network.name), "{message}");
}

#[tokio::test]
async fn what_it_cannot_read_is_told_in_its_own_words() {
    let bench = Bench::docker();
    bench.engine.create_network(&bench.network).await.unwrap();
    let spec = ContainerSpec { extra_hosts: vec!["odd".into()], ..bench.spec("odd", "true") };
    let answer = bench.engine.create(&spec).await;
    assert!(matches!(answer, Err(EngineError::Other(_))), "{answer:?}");
}

#[tokio::test]
async fn a_volume_of_somebody_else_is_not_mounted() {
    let (bench, other) = (Bench::docker(), Bench::docker());
    bench.engine.create_network(&bench.network).await.unwrap();
    let spec = ContainerSpec { home: Some(other.home()), ..other.spec("theirs", "true") };
    other.engine.create(&spec).await.unwrap();
    let home = Home { labels: bench.labels(), ..other.home() };
    let spec = ContainerSpec { home: Some(home), ..bench.spec("ours", "true") };
    let answer = bench.engine.create(&spec).await;
    assert!(matches!(answer, Err(EngineError::NameTaken(_))), "{answer:?}");
}

#[tokio::test]
async fn limits_beyond_the_engine_are_skipped_and_named() {
    let bench = Bench::docker();
    bench.engine.create_network(&bench.network).await.unwrap();
    let spec = ContainerSpec {
        cpus: Some(100_000.0),
        memory_bytes: Some(1 << 20),
        pids: Some(20),
        ..bench.spec("greedy", "sleep 100")
    };
    let made = bench.engine.create(&spec).await.unwrap();
    assert_eq!(made.limits_skipped, ["cpus", "memory_bytes"]);
    bench.engine.start(&made.container_id).await.unwrap();
    assert_eq!(bench.cli(&["inspect", "-f", "{{.HostConfig.PidsLimit}}", &made.container_id]), "20");
    let spec = ContainerSpec { cpus: Some(0.5), ..bench.spec("modest", "sleep 100") };
    let made = bench.engine.create(&spec).await.unwrap();
    assert!(made.limits_skipped.is_empty(), "it was the amount, not the limit: {:?}", made.limits_skipped);
    let all = bench.cli(&["ps", "-aq", "--filter", &format!("label=dockway.installation={}", bench.installation)]);
    assert_eq!(all.lines().count(), 2, "nothing is left of the trial");
}
