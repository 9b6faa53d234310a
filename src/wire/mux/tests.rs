//! Two engines, joined by their own output.

use proptest::prelude::*;

use bytes::Bytes;

use super::super::websocket::Decoder;
use super::*;

struct Ends {
    server: Mux,
    agent: Mux,
    now: Instant,
}

impl Ends {
    fn new(version: Version) -> Self {
        let mut ends = Self {
            server: Mux::new(Role::Server, version),
            agent: Mux::new(Role::Agent, version),
            now: Instant::now(),
        };
        ends.server.greet();
        ends.agent.greet();
        ends.exchange();
        ends
    }

    /// Version 1 with an agent that knows only the three messages.
    fn plain() -> Self {
        Self {
            server: Mux::new(Role::Server, Version::Json),
            agent: Mux::new(Role::Agent, Version::Json),
            now: Instant::now(),
        }
    }

    fn carry_to_agent(&mut self) {
        transfer(&mut self.server, &mut self.agent, Side::Client, self.now).unwrap();
    }

    fn carry_to_server(&mut self) {
        transfer(&mut self.agent, &mut self.server, Side::Server, self.now).unwrap();
    }

    fn exchange(&mut self) {
        while self.server.has_output() || self.agent.has_output() {
            self.carry_to_agent();
            self.carry_to_server();
        }
    }

    fn open(&mut self, user: &str) -> (u32, u32) {
        let id = self.server.open(open(user)).unwrap();
        self.carry_to_agent();
        let (agent_id, opened) = self.agent.take_opens().pop().unwrap();
        assert_eq!(opened.user_id, user);
        (id, agent_id)
    }

    fn opened(&mut self, user: &str) -> (u32, u32) {
        let ids = self.open(user);
        self.agent.accept(ids.1);
        self.exchange();
        self.server.take_deliveries();
        ids
    }
}

fn transfer(from: &mut Mux, to: &mut Mux, side: Side, now: Instant) -> Result<(), SessionClose> {
    let mut out = VecDeque::new();
    from.fill(&mut out, usize::MAX, now);
    let mut input: BytesMut = out.iter().flatten().copied().collect();
    let mut decoder = Decoder::new(side, to.version.max_message());
    while let Some(message) = decoder.decode(&mut input)? {
        to.receive(message, now)?;
    }
    assert!(input.is_empty());
    Ok(())
}

fn open(user: &str) -> Open {
    Open {
        proxy_id: "p".into(),
        user_id: user.into(),
        remote_host: "h".into(),
        remote_port: 1,
        protocol: "tcp".into(),
        window: None,
    }
}

fn bytes_of(deliveries: Vec<Delivery>) -> (Vec<u8>, Option<End>) {
    let mut end = None;
    let mut data = Vec::new();
    for delivery in deliveries {
        data.extend(delivery.data.iter().flatten().copied());
        end = delivery.end.or(end);
    }
    (data, end)
}

fn hello() -> Message {
    let mut bytes = BytesMut::new();
    Frame::Hello(Hello { versions: vec![2], features: vec![], limits: Limits::default() }).encode(&mut bytes);
    Message::Binary(bytes.freeze())
}

fn frame(frame: &Frame) -> Message {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    Message::Binary(bytes.freeze())
}

#[test]
fn bytes_and_ends_travel_both_ways_in_both_versions() {
    for version in [Version::Json, Version::Binary] {
        let mut ends = Ends::new(version);
        let (server, agent) = ends.opened("u1");
        ends.server.send(server, vec![Bytes::from_static(b"ques"), Bytes::from_static(b"tion")]);
        ends.server.finish(server);
        ends.exchange();
        assert_eq!(bytes_of(ends.agent.take_deliveries()), (b"question".to_vec(), Some(End::Finished)));
        ends.agent.send(agent, vec![Bytes::from_static(b"answer")]);
        ends.agent.finish(agent);
        ends.exchange();
        assert_eq!(bytes_of(ends.server.take_deliveries()), (b"answer".to_vec(), Some(End::Finished)));
        assert_eq!((ends.server.channels(), ends.agent.channels()), (0, 0), "{version:?}");
    }
}

#[test]
fn data_sent_before_the_target_answers_is_limited_to_the_early_window() {
    let mut ends = Ends::new(Version::Binary);
    let (server, agent) = ends.open("u1");
    ends.server.send(server, vec![Bytes::from(vec![7; 300_000])]);
    ends.exchange();
    assert_eq!(bytes_of(ends.agent.take_deliveries()).0.len(), EARLY_WINDOW as usize);
    ends.agent.accept(agent);
    ends.exchange();
    let more = bytes_of(ends.agent.take_deliveries()).0.len();
    assert_eq!(more, (INITIAL_WINDOW - EARLY_WINDOW) as usize);
    assert_eq!(ends.server.waiting(), 300_000 - INITIAL_WINDOW as usize);
}

#[test]
fn a_refusal_reaches_the_server_with_its_reason() {
    for version in [Version::Json, Version::Binary] {
        let mut ends = Ends::new(version);
        let (_, agent) = ends.open("u1");
        let failure = OpenFailure::new(OpenError::Refused, "nobody listens");
        ends.agent.refuse(agent, failure.clone());
        ends.exchange();
        assert_eq!(bytes_of(ends.server.take_deliveries()).1, Some(End::Failed(failure)));
        assert_eq!((ends.server.channels(), ends.agent.channels()), (0, 0));
    }
}

#[test]
fn a_reset_drops_what_is_queued_and_is_not_answered() {
    for version in [Version::Json, Version::Binary] {
        let mut ends = Ends::new(version);
        let (server, agent) = ends.opened("u1");
        ends.agent.send(agent, vec![Bytes::from_static(b"late")]);
        ends.server.reset(server, ResetCode::ABORTED);
        ends.carry_to_agent();
        assert_eq!(bytes_of(ends.agent.take_deliveries()), (vec![], Some(End::Reset(ResetCode::ABORTED))));
        assert!(
            !ends.agent.has_output() || {
                ends.exchange();
                ends.server.take_deliveries().is_empty()
            }
        );
        assert_eq!((ends.agent.waiting(), ends.agent.channels()), (0, 0));
    }
}

#[test]
fn control_passes_waiting_data_and_channels_take_turns() {
    let mut ends = Ends::new(Version::Binary);
    let (first, _) = ends.opened("u1");
    let (second, _) = ends.opened("u2");
    ends.server.send(first, vec![Bytes::from(vec![1; 250_000])]);
    ends.server.send(second, vec![Bytes::from_static(b"x")]);
    ends.server.open(open("u3")).unwrap();
    let mut out = VecDeque::new();
    ends.server.fill(&mut out, 1, ends.now);
    assert_eq!(out[0][2], 0x01, "OPEN goes first");
    out.clear();
    ends.server.fill(&mut out, send::TURN + 1, ends.now);
    let mut taken = ends.server.take_taken();
    taken.sort_unstable();
    assert_eq!(taken, [(first, 250_000), (second, 1)]);
}

#[test]
fn an_overrun_ends_that_channel_alone() {
    let mut ends = Ends::new(Version::Binary);
    let (first, _) = ends.opened("u1");
    let (second, _) = ends.opened("u2");
    for _ in 0..INITIAL_WINDOW as usize / frame::MAX_DATA {
        ends.server.receive(frame(&Frame::Data(first, vec![0; frame::MAX_DATA].into())), ends.now).unwrap();
    }
    ends.server.take_deliveries();
    ends.server.receive(frame(&Frame::Data(first, Bytes::from_static(b"!"))), ends.now).unwrap();
    assert_eq!(bytes_of(ends.server.take_deliveries()), (vec![], Some(End::Reset(ResetCode::WINDOW_OVERRUN))));
    ends.carry_to_agent();
    assert_eq!(bytes_of(ends.agent.take_deliveries()).1, Some(End::Reset(ResetCode::WINDOW_OVERRUN)));
    ends.server.receive(frame(&Frame::Data(second, Bytes::from_static(b"ok"))), ends.now).unwrap();
    assert_eq!(bytes_of(ends.server.take_deliveries()).0, b"ok");
}

#[test]
fn an_overrun_of_the_credit_in_version_1_ends_that_channel_alone() {
    let mut ends = Ends::new(Version::Json);
    ends.opened("u1");
    ends.opened("u2");
    let data = |user: &str, size: usize| {
        let message = json::Message::Data { user_id: user.into(), data: vec![0; size].into() };
        Message::Text(message.encode("p").into())
    };
    ends.server.receive(data("u1", INITIAL_WINDOW as usize), ends.now).unwrap();
    ends.server.receive(data("u1", 1), ends.now).unwrap();
    assert_eq!(bytes_of(ends.server.take_deliveries()), (vec![], Some(End::Reset(ResetCode::WINDOW_OVERRUN))));
    ends.carry_to_agent();
    assert_eq!(bytes_of(ends.agent.take_deliveries()).1, Some(End::Reset(ResetCode::ABORTED)));
    ends.server.receive(data("u2", 2), ends.now).unwrap();
    assert_eq!(bytes_of(ends.server.take_deliveries()).0.len(), 2);
}

#[test]
fn what_breaks_the_protocol_closes_the_session() {
    let cases: Vec<(&str, Role, Vec<Message>)> = vec![
        ("no hello", Role::Server, vec![frame(&Frame::Fin(1))]),
        ("two hellos", Role::Server, vec![hello(), hello()]),
        ("never opened", Role::Server, vec![hello(), frame(&Frame::Data(1, Bytes::from_static(b"x")))]),
        ("agent opens", Role::Server, vec![hello(), frame(&Frame::Open(1, open("u")))]),
        ("server answers", Role::Agent, vec![hello(), frame(&Frame::Opened(1, 65_536))]),
        (
            "id used twice",
            Role::Agent,
            vec![hello(), frame(&Frame::Open(2, open("u"))), frame(&Frame::Open(2, open("v")))],
        ),
        ("id falls", Role::Agent, vec![hello(), frame(&Frame::Open(2, open("u"))), frame(&Frame::Open(1, open("v")))]),
        ("text", Role::Server, vec![Message::Text(Bytes::from_static(b"{}"))]),
    ];
    for (name, role, messages) in cases {
        let mut mux = Mux::new(role, Version::Binary);
        let mut results = messages.into_iter().map(|message| mux.receive(message, Instant::now()));
        assert!(results.any(|result| result.is_err_and(|close| close.code == SessionClose::PROTOCOL)), "{name}");
    }
}

#[test]
fn frames_of_an_ended_channel_are_ignored() {
    let mut ends = Ends::new(Version::Binary);
    let (server, _) = ends.opened("u1");
    ends.server.reset(server, ResetCode::CUT);
    for late in [Frame::Data(server, Bytes::from_static(b"x")), Frame::Credit(server, 1), Frame::Fin(server)] {
        ends.server.receive(frame(&late), ends.now).unwrap();
    }
    assert!(ends.server.take_deliveries().is_empty());
}

#[test]
fn a_plain_agent_ends_both_directions_at_once_and_in_order() {
    let mut ends = Ends::plain();
    let (server, agent) = ends.open("u1");
    ends.agent.send(agent, vec![Bytes::from_static(b"all of it")]);
    ends.agent.finish(agent);
    ends.exchange();
    assert_eq!(bytes_of(ends.server.take_deliveries()), (b"all of it".to_vec(), Some(End::Disconnected)));
    assert_eq!(ends.server.channels(), 0);
    ends.server.consumed(server, 9, ends.now);
}

#[test]
fn a_plain_agents_answer_is_delivered_after_the_users_fin_until_it_pauses() {
    let mut ends = Ends::plain();
    let (server, _) = ends.open("u1");
    ends.server.finish(server);
    ends.carry_to_agent();
    assert_eq!(bytes_of(ends.agent.take_deliveries()).1, Some(End::Disconnected));
    let late = json::Message::Data { user_id: "u1".into(), data: Bytes::from_static(b"late") }.encode("p");
    ends.server.receive(Message::Text(late.into()), ends.now).unwrap();
    assert_eq!(bytes_of(ends.server.take_deliveries()), (b"late".to_vec(), None));
    ends.server.expire(Instant::now() + LINGER * 2);
    assert_eq!(bytes_of(ends.server.take_deliveries()).1, Some(End::Disconnected));
    assert!(!ends.server.has_output(), "the agent had its proxy_disconnect");
}

#[test]
fn a_plain_agent_that_floods_blocks_its_own_session() {
    let mut ends = Ends::plain();
    let (server, _) = ends.open("u1");
    let data = json::Message::Data { user_id: "u1".into(), data: vec![0; 600_000].into() }.encode("p");
    for expected in [false, true] {
        ends.server.receive(Message::Text(data.clone().into()), ends.now).unwrap();
        assert_eq!(ends.server.blocked(), expected);
    }
    ends.server.consumed(server, 1_200_000, ends.now);
    assert!(!ends.server.blocked());
}

#[test]
fn a_stopped_reader_costs_its_window() {
    for version in [Version::Json, Version::Binary] {
        let mut ends = Ends::new(version);
        let (_, agent) = ends.opened("u1");
        ends.agent.send(agent, vec![vec![0; 10_000_000].into()]);
        ends.exchange();
        let received = bytes_of(ends.server.take_deliveries()).0.len();
        assert_eq!(received, INITIAL_WINDOW as usize, "{version:?}");
    }
}

#[test]
fn a_fast_reader_gets_everything_and_a_larger_window() {
    for version in [Version::Json, Version::Binary] {
        let mut ends = Ends::new(version);
        let (server, agent) = ends.opened("u1");
        let total = 20_000_000;
        ends.agent.send(agent, vec![vec![3; total].into()]);
        ends.agent.finish(agent);
        let (mut received, mut rounds) = (0, 0);
        loop {
            ends.exchange();
            let (data, end) = bytes_of(ends.server.take_deliveries());
            received += data.len();
            rounds += 1;
            ends.server.consumed(server, data.len(), ends.now);
            if end == Some(End::Finished) {
                break;
            }
        }
        assert_eq!(received, total);
        assert!(rounds < 20, "{rounds} rounds: the window did not grow");
    }
}

#[test]
fn too_many_channels_are_refused() {
    let mut ends = Ends::new(Version::Binary);
    for n in 0..MAX_CHANNELS {
        ends.server.open(open(&n.to_string())).unwrap();
    }
    assert_eq!(ends.server.open(open("one more")).unwrap_err().code, OpenError::Limit);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever order sends, ends and exchanges come in: every byte arrives once and in order.
    #[test]
    fn streams_arrive_whole(
        json in any::<bool>(),
        steps in proptest::collection::vec((0usize..3, 0usize..100_000, any::<bool>()), 1..60),
    ) {
        let mut ends = Ends::new(if json { Version::Json } else { Version::Binary });
        let ids: Vec<_> = (0..3).map(|n| ends.opened(&format!("u{n}"))).collect();
        let mut sent = vec![Vec::new(); 3];
        let mut got = vec![Vec::new(); 3];
        let mut counter = 0u8;
        for (channel, size, exchange) in steps {
            let data: Vec<u8> = (0..size).map(|_| { counter = counter.wrapping_add(7); counter }).collect();
            sent[channel].extend_from_slice(&data);
            ends.server.send(ids[channel].0, vec![data.into()]);
            if exchange {
                ends.exchange();
            }
        }
        ids.iter().for_each(|(server, _)| ends.server.finish(*server));
        let mut finished = 0;
        while finished < 3 {
            ends.exchange();
            for delivery in ends.agent.take_deliveries() {
                let index = ids.iter().position(|(_, agent)| *agent == delivery.channel).unwrap();
                let size = delivery.data.iter().map(Bytes::len).sum();
                got[index].extend(delivery.data.iter().flatten().copied());
                finished += usize::from(delivery.end == Some(End::Finished));
                ends.agent.consumed(delivery.channel, size, ends.now);
            }
        }
        prop_assert_eq!(got, sent);
        prop_assert_eq!(ends.server.waiting(), 0);
    }

    #[test]
    fn any_messages_never_panic(
        server in any::<bool>(),
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
    ) {
        let role = if server { Role::Server } else { Role::Agent };
        let mut binary = Mux::new(role, Version::Binary);
        let _ = binary.receive(hello(), Instant::now());
        for mut message in messages {
            if let Some(kind) = message.first_mut() { *kind %= 0x12; }
            if message.len() > 4 { message[1..4].fill(0); message[4] %= 4; }
            let _ = binary.receive(Message::Binary(message.into()), Instant::now());
        }
    }
}
