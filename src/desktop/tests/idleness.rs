//! Nobody uses it: a warning, then a stop.

use super::desktop_type;
use super::rig::{Heard, Plan, Rig};
use crate::clock::{now_ms, parse_rfc3339};
use crate::desktop::{DesktopType, Status};

fn plan() -> Plan {
    Plan { desktop_type: Some(DesktopType { idle_limit_s: Some(1), ..desktop_type() }), ..Plan::default() }
}

#[actix::test]
async fn an_idle_desktop_is_warned_of_and_stopped() {
    let mut rig = Rig::ready(plan()).await;
    let stop_at = parse_rfc3339(rig.last().view.idle_stop_at.as_ref().unwrap()).unwrap();
    let warning = loop {
        if let Heard::Idle(warning) = rig.hear().await {
            break warning;
        }
    };
    assert_eq!((warning.id.as_str(), warning.stop_at), ("the-desktop", stop_at));
    assert!(now_ms() < stop_at);
    // What only looks, as a client that asks for every update does, is no use.
    rig.last().route.activity.note_access(now_ms());
    loop {
        match rig.hear().await {
            Heard::Changed(changed) if changed.view.status == Status::Stopped => break rig.last = Some(*changed),
            Heard::Idle(_) => panic!("it is put off"),
            _ => {}
        }
    }
    assert!(now_ms() >= stop_at);
    assert_eq!(rig.reason(), "stopped after 1 s without use");
    rig.assert_nothing_is_left().await;
}

#[actix::test]
async fn input_puts_it_off_and_open_connections_do_not() {
    let mut rig = Rig::ready(plan()).await;
    let activity = rig.last().route.activity.clone();
    let _open = activity.connection();
    loop {
        if let Heard::Idle(_) = rig.hear().await {
            break;
        }
    }
    let input = now_ms();
    activity.note_input(input);
    rig.until(Status::Stopped).await;
    assert!(now_ms() >= input + 1000, "a whole second from the input on");
}

#[actix::test]
async fn without_a_limit_nothing_is_stopped() {
    let rig = Rig::ready(Plan::default()).await;
    assert!(rig.last().view.idle_stop_at.is_none());
}
