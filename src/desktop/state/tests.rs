//! Every state with every event, and that nothing is left reserved.

use proptest::prelude::*;

use super::*;
use Effect as F;
use Event as E;
use Status as S;

const EVENTS: [Event; 21] = [
    E::Start,
    E::Stop,
    E::Delete,
    E::Reserved,
    E::ImageHere,
    E::ImageMissing,
    E::Created,
    E::RangeTaken,
    E::Started,
    E::Answered,
    E::GaveUp,
    E::CleanedUp,
    E::Died,
    E::EndedByHand,
    E::Destroyed,
    E::FoundRunning,
    E::FoundEnded,
    E::FoundNothing,
    E::TakenDown,
    E::TakeDownFailed,
    E::EraseFailed,
];

type Row = (Event, Status, Then, Option<Effect>);

fn plain(event: Event, status: Status, effect: impl Into<Option<Effect>>) -> Row {
    (event, status, Then::Rest, effect.into())
}

/// Every state that can be, and all that leads anywhere from it. What is not listed leads nowhere.
fn table() -> Vec<(State, Vec<Row>)> {
    let leaving = [plain(E::Stop, S::Stopping, F::TakeDown), (E::Delete, S::Stopping, Then::Delete, Some(F::TakeDown))];
    let on_its_way = |status, own: &[Row]| {
        let shared = [
            plain(E::GaveUp, status, F::CleanUp),
            plain(E::CleanedUp, S::Failed, None),
            plain(E::FoundRunning, S::Starting, F::Probe),
            plain(E::FoundEnded, S::Requested, F::Reserve),
            plain(E::FoundNothing, S::Requested, F::Reserve),
        ];
        (State::at(status), [&leaving[..], &shared, own].concat())
    };
    let running = [
        plain(E::Died, S::Starting, F::Restart),
        plain(E::EndedByHand, S::Stopping, F::TakeDown),
        plain(E::Destroyed, S::Gone, F::RemoveLeftovers),
        plain(E::GaveUp, S::Starting, F::CleanUp),
    ];
    let ready = [
        plain(E::FoundRunning, S::Ready, F::Probe),
        plain(E::FoundEnded, S::Starting, F::Restart),
        plain(E::FoundNothing, S::Gone, F::RemoveLeftovers),
    ];
    let starting = [
        plain(E::Started, S::Starting, F::Probe),
        plain(E::Answered, S::Ready, None),
        plain(E::RangeTaken, S::Creating, F::Reserve),
        plain(E::Died, S::Starting, F::Restart),
        plain(E::EndedByHand, S::Stopping, F::TakeDown),
        plain(E::Destroyed, S::Gone, F::RemoveLeftovers),
    ];
    let stopping = |then: Then, own: &[Row]| {
        let shared = [E::FoundRunning, E::FoundEnded, E::FoundNothing]
            .map(|event| (event, S::Stopping, then, Some(F::TakeDown)));
        (State { status: S::Stopping, then }, [&shared[..], own].concat())
    };
    let asked = [
        (E::Start, S::Stopping, Then::Start, None),
        plain(E::Stop, S::Stopping, None),
        (E::Delete, S::Stopping, Then::Delete, None),
    ];
    let resting = |status| {
        let rows = vec![
            plain(E::Start, S::Requested, F::Reserve),
            (E::Delete, status, Then::Delete, Some(F::Erase)),
            plain(E::FoundRunning, status, F::RemoveLeftovers),
            plain(E::FoundEnded, status, F::RemoveLeftovers),
        ];
        (State::at(status), rows)
    };
    let erasing = |status| (State { status, then: Then::Delete }, vec![plain(E::EraseFailed, status, None)]);
    vec![
        on_its_way(
            S::Requested,
            &[
                plain(E::Reserved, S::Requested, F::LookForImage),
                plain(E::ImageMissing, S::Pulling, F::Pull),
                plain(E::ImageHere, S::Creating, F::Create),
            ],
        ),
        on_its_way(S::Pulling, &[plain(E::ImageHere, S::Creating, F::Create)]),
        on_its_way(
            S::Creating,
            &[
                plain(E::Reserved, S::Creating, F::Create),
                plain(E::RangeTaken, S::Creating, F::Reserve),
                plain(E::Created, S::Starting, F::StartContainer),
            ],
        ),
        on_its_way(S::Starting, &starting),
        (State::at(S::Ready), [&leaving[..], &running, &ready].concat()),
        stopping(
            Then::Rest,
            &[
                &asked[..],
                &[plain(E::TakenDown, S::Stopped, None), plain(E::TakeDownFailed, S::Stopping, F::TakeDownLater)],
            ]
            .concat(),
        ),
        stopping(
            Then::Start,
            &[
                &asked[..],
                &[
                    plain(E::TakenDown, S::Requested, F::Reserve),
                    (E::TakeDownFailed, S::Stopping, Then::Start, Some(F::TakeDownLater)),
                ],
            ]
            .concat(),
        ),
        stopping(
            Then::Delete,
            &[
                (E::TakenDown, S::Stopped, Then::Delete, Some(F::Erase)),
                plain(E::TakeDownFailed, S::Stopping, F::TakeDownLater),
            ],
        ),
        resting(S::Stopped),
        resting(S::Failed),
        resting(S::Gone),
        erasing(S::Stopped),
        erasing(S::Failed),
        erasing(S::Gone),
    ]
}

#[test]
fn every_event_in_every_state() {
    let table = table();
    for (state, rows) in &table {
        for event in EVENTS {
            let row = rows.iter().find(|row| row.0 == event);
            let wanted = row.map(|&(_, status, then, effect)| Step { state: State { status, then }, effect });
            assert_eq!(next(*state, event), wanted, "{event:?} in {state:?}");
        }
    }
    let listed: Vec<_> = table.iter().map(|(state, _)| *state).collect();
    for (state, rows) in &table {
        for (event, status, then, _) in rows {
            let to = State { status: *status, then: *then };
            assert!(listed.contains(&to), "{event:?} in {state:?} leads to {to:?}, which is not in the table");
        }
    }
}

#[test]
fn what_the_engine_might_still_make_is_waited_for() {
    for effect in [F::Create, F::Reserve, F::TakeDown, F::CleanUp, F::RemoveLeftovers, F::Erase] {
        assert!(!effect.may_be_dropped(), "{effect:?}");
    }
    for effect in [F::Pull, F::Probe, F::Restart, F::LookForImage, F::LookAgain, F::StartContainer] {
        assert!(effect.may_be_dropped(), "{effect:?}");
    }
}

/// A row and an engine in which steps have the outcomes that they can have, whenever.
struct World {
    state: State,
    row: ContainerRow,
    /// Something of it stands in the engine.
    in_engine: bool,
    /// What is being done.
    effect: Option<Effect>,
}

impl World {
    fn new() -> Self {
        let (state, row) = (State::at(S::Stopped), crate::desktop::tests::row("stopped"));
        Self { state, row, in_engine: false, effect: None }
    }

    fn hear(&mut self, event: Event) {
        if !self.can_be(event) {
            return;
        }
        let Some(step) = next(self.state, event) else { return };
        // A step that is waited for leaves its facts, whether or not anybody wants them any more.
        if step.effect.is_some() && self.effect.is_some_and(|effect| !effect.may_be_dropped()) {
            self.learn();
        }
        if step.state.status != self.state.status {
            record(&mut self.row, step.state.status, 1);
        }
        self.state = step.state;
        self.effect = if is_outcome(event) { step.effect } else { step.effect.or(self.effect) };
    }

    fn can_be(&self, event: Event) -> bool {
        let Some(doing) = self.effect else { return !is_outcome(event) };
        match event {
            E::Reserved => doing == F::Reserve,
            E::ImageMissing => doing == F::LookForImage,
            E::ImageHere => matches!(doing, F::LookForImage | F::Pull),
            E::Created => doing == F::Create,
            E::RangeTaken => matches!(doing, F::Create | F::StartContainer | F::Restart),
            E::Started => matches!(doing, F::StartContainer | F::Restart),
            E::Answered => doing == F::Probe,
            E::CleanedUp => doing == F::CleanUp,
            E::TakenDown | E::TakeDownFailed => doing == F::TakeDown,
            E::EraseFailed => doing == F::Erase,
            _ => true,
        }
    }

    fn learn(&mut self) {
        match self.effect {
            Some(F::Reserve) => {
                self.row.host_port = Some(7000);
                self.row.subnet = Some("10.0.0.0/28".into());
                self.row.password = Some("sealed".into());
            }
            Some(F::Create) => {
                self.row.container_id = Some("c".into());
                self.in_engine = true;
            }
            // What the engine refuses to remove is found by the next inventory.
            Some(F::CleanUp | F::TakeDown | F::RemoveLeftovers | F::Erase) => self.in_engine = false,
            _ => {}
        }
    }
}

fn is_outcome(event: Event) -> bool {
    !matches!(
        event,
        E::Start
            | E::Stop
            | E::Delete
            | E::GaveUp
            | E::Died
            | E::EndedByHand
            | E::Destroyed
            | E::FoundRunning
            | E::FoundEnded
            | E::FoundNothing
    )
}

proptest! {
    #[test]
    fn nothing_stays_reserved_for_what_is_down(events in proptest::collection::vec(0..EVENTS.len(), 0..80)) {
        let mut world = World::new();
        for event in events {
            let event = EVENTS[event];
            if is_outcome(event) && world.can_be(event) {
                world.learn();
            }
            world.hear(event);
            let (row, status) = (&world.row, world.state.status);
            prop_assert_eq!(row.status.as_str(), status.as_str());
            prop_assert!(world.state.then == Then::Rest || !status.is_up());
            if !status.may_start() {
                continue;
            }
            let held = (&row.container_id, &row.host_port, &row.subnet, &row.address, &row.password);
            prop_assert_eq!(held, (&None, &None, &None, &None, &None));
            let removes = matches!(world.effect, Some(F::RemoveLeftovers | F::Erase));
            prop_assert!(!world.in_engine || removes, "left behind, doing {:?}", world.effect);
        }
    }
}

#[test]
fn a_row_tells_when_it_became_ready_and_when_it_ended() {
    let mut row = crate::desktop::tests::row("starting");
    (row.reason, row.password) = (Some("restarted".into()), Some("sealed".into()));
    record(&mut row, S::Ready, 5);
    assert_eq!((row.started_at, row.reason.as_deref(), row.status.as_str()), (Some(5), None, "ready"));
    assert!(row.password.is_some());
    record(&mut row, S::Stopped, 9);
    assert_eq!((row.started_at, row.stopped_at, &row.password), (Some(5), Some(9), &None));
    record(&mut row, S::Requested, 10);
    assert_eq!((row.started_at, row.stopped_at), (None, None));
}
