//! Pictures of a desktop.

use std::sync::atomic::Ordering;

use super::desktop_type;
use super::rig::{Plan, Rig};
use crate::desktop::messages::TakeThumbnail;
use crate::desktop::{DesktopType, Kind, Status};
use crate::error::Error;

fn plan() -> Plan {
    Plan { desktop_type: Some(DesktopType { kind: Kind::Kasm, ..desktop_type() }), ..Plan::default() }
}

#[actix::test]
async fn many_who_look_share_one_picture() {
    let rig = Rig::ready(plan()).await;
    let asked: Vec<_> = (0..10).map(|_| actix_rt::spawn(rig.container.send(TakeThumbnail))).collect();
    for answer in asked {
        let picture = answer.await.unwrap().unwrap().unwrap();
        assert_eq!(picture.content_type, "image/jpeg");
    }
    rig.container.send(TakeThumbnail).await.unwrap().unwrap();
    assert_eq!(rig.upstream.behaviour.pictures.load(Ordering::Relaxed), 1);
}

#[actix::test]
async fn an_empty_answer_is_asked_for_in_full() {
    let rig = Rig::ready(plan()).await;
    rig.upstream.behaviour.unchanged.store(true, Ordering::Relaxed);
    assert_eq!(rig.container.send(TakeThumbnail).await.unwrap().unwrap().content_type, "image/jpeg");
    assert_eq!(rig.upstream.behaviour.pictures.load(Ordering::Relaxed), 2);
}

#[actix::test]
async fn what_is_no_picture_is_not_shown() {
    let rig = Rig::ready(plan()).await;
    rig.upstream.behaviour.garbage.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let refused = rig.container.send(TakeThumbnail).await.unwrap();
        assert!(matches!(refused, Err(Error::BadGateway(_))), "{refused:?}");
    }
    assert_eq!(rig.upstream.behaviour.pictures.load(Ordering::Relaxed), 1, "nor asked for again and again");
}

#[actix::test]
async fn no_picture_of_what_is_not_ready_or_has_none() {
    let mut rig = Rig::ready(plan()).await;
    rig.container.send(TakeThumbnail).await.unwrap().unwrap();
    rig.ask_stop().await.unwrap();
    rig.until(Status::Stopped).await;
    let refused = rig.container.send(TakeThumbnail).await.unwrap();
    assert!(matches!(refused, Err(Error::DesktopNotReady { status: "stopped" })), "{refused:?}");
    let rig = Rig::ready(Plan::default()).await;
    assert!(matches!(rig.container.send(TakeThumbnail).await.unwrap(), Err(Error::NoThumbnail)));
}
