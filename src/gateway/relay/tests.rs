use std::future::pending;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Two ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (one, other) = tokio::join!(TcpStream::connect(address), listener.accept());
    (one.unwrap(), other.unwrap().0)
}

/// The far ends of a relay that runs: the browser, and the desktop.
struct Rig {
    browser: TcpStream,
    desktop: TcpStream,
    cut: Option<oneshot::Sender<()>>,
    running: JoinHandle<End>,
}

impl Rig {
    async fn start(from_browser: &'static [u8], from_desktop: &'static [u8]) -> Self {
        let ((browser, near_browser), (desktop, near_desktop)) = (pair().await, pair().await);
        let (cut, cutting) = oneshot::channel::<()>();
        let relay = Relay::new((near_browser, from_browser), (Connection::Plain(near_desktop), from_desktop), |_| ());
        let cutting = async {
            if cutting.await.is_err() {
                pending::<()>().await;
            }
            "the test says so"
        };
        Self { browser, desktop, cut: Some(cut), running: tokio::spawn(relay.run(cutting)) }
    }

    fn cut(&mut self) {
        self.cut.take().unwrap().send(()).unwrap();
    }

    async fn end(self) -> End {
        timeout(PATIENCE, self.running).await.expect("it ends").unwrap()
    }
}

/// Bytes in which a mistake shows.
fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(31) ^ (n >> 8).wrapping_mul(seed)) as u8).collect()
}

async fn read_all(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut all)).await.expect("an end")?;
    Ok(all)
}

/// Write until nothing more is taken; how much was.
async fn fill(socket: &mut TcpStream) -> usize {
    let (block, mut taken) = (vec![7; 256 * 1024], 0);
    while let Ok(written) = timeout(Duration::from_millis(500), socket.write(&block)).await {
        taken += written.unwrap();
    }
    taken
}

#[tokio::test]
async fn bytes_pass_both_ways_at_once_and_an_end_passes_too() {
    let rig = Rig::start(b"early up, ", b"early down, ").await;
    let (mut from_browser, mut to_desktop) = rig.browser.into_split();
    let (mut from_desktop, mut to_browser) = rig.desktop.into_split();
    let (up, down) = (pattern(9_000_000, 3), pattern(7_000_001, 5));
    let (mut got_up, mut got_down) = (Vec::new(), Vec::new());
    let write = async |half: &mut tokio::net::tcp::OwnedWriteHalf, bytes: &[u8]| {
        half.write_all(bytes).await.unwrap();
        half.shutdown().await.unwrap();
    };
    tokio::join!(
        write(&mut to_desktop, &up),
        write(&mut to_browser, &down),
        async { from_desktop.read_to_end(&mut got_up).await.unwrap() },
        async { from_browser.read_to_end(&mut got_down).await.unwrap() },
    );
    assert!(got_up == [&b"early up, "[..], &up].concat() && got_down == [&b"early down, "[..], &down].concat());
    assert!(matches!(timeout(PATIENCE, rig.running).await.unwrap().unwrap(), End::Closed));
}

#[tokio::test]
async fn after_one_end_the_other_way_stays_open() {
    let mut rig = Rig::start(b"", b"").await;
    rig.browser.write_all(b"last words").await.unwrap();
    rig.browser.shutdown().await.unwrap();
    assert_eq!(read_all(&mut rig.desktop).await.unwrap(), b"last words");
    for _ in 0..3 {
        rig.desktop.write_all(b"more").await.unwrap();
        let mut more = [0; 4];
        rig.browser.read_exact(&mut more).await.unwrap();
        assert_eq!(&more, b"more");
    }
    rig.desktop.shutdown().await.unwrap();
    assert_eq!(read_all(&mut rig.browser).await.unwrap(), b"");
    assert!(matches!(rig.end().await, End::Closed));
}

#[tokio::test(start_paused = true)]
async fn the_other_way_does_not_stay_open_for_ever() {
    let mut rig = Rig::start(b"", b"").await;
    rig.desktop.shutdown().await.unwrap();
    let before = tokio::time::Instant::now();
    let end = rig.running.await.unwrap();
    assert!(matches!(end, End::HalfOpen), "{end}");
    assert!(before.elapsed() >= HALF_OPEN_LIMIT);
    assert!(rig.desktop.read_u8().await.is_err(), "the desktop's socket is closed");
    assert!(rig.browser.read_u8().await.is_err(), "and the browser's");
}

#[tokio::test]
async fn a_reset_of_one_side_ends_the_other() {
    for desktop_breaks in [true, false] {
        let mut rig = Rig::start(b"", b"").await;
        let (broken, mut other) = if desktop_breaks { (rig.desktop, rig.browser) } else { (rig.browser, rig.desktop) };
        reset_on_close(&broken);
        drop(broken);
        // A FIN or a reset, whichever.
        let _ = read_all(&mut other).await;
        rig.cut = None;
        assert!(matches!(rig.running.await.unwrap(), End::Broken(_)));
    }
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_writer() {
    let mut rig = Rig::start(b"", b"").await;
    let taken = fill(&mut rig.desktop).await;
    assert!(taken < 32 * 1024 * 1024, "{taken} bytes are somewhere");
    let mut got = vec![0; taken];
    timeout(PATIENCE, rig.browser.read_exact(&mut got)).await.expect("all of it comes").unwrap();
    assert!(got.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn a_cut_says_why_between_two_frames_only() {
    for (sent, expected) in [
        (&b""[..], &GOING_AWAY[..]),
        (&[0x82, 1, 5], &[&[0x82, 1, 5], &GOING_AWAY[..]].concat()),
        (&[0x82, 2, 5], &[0x82, 2, 5]),
        (&[0x88, 0], &[0x88, 0]),
    ] {
        let mut rig = Rig::start(b"", b"").await;
        rig.desktop.write_all(sent).await.unwrap();
        let mut got = vec![0; sent.len()];
        rig.browser.read_exact(&mut got).await.unwrap();
        rig.cut();
        while let Ok(Ok(byte)) = timeout(PATIENCE, rig.browser.read_u8()).await {
            got.push(byte);
        }
        assert_eq!(got, expected, "after {sent:x?}");
        drop(rig.browser);
        assert!(matches!(timeout(PATIENCE, rig.running).await.unwrap().unwrap(), End::Cut("the test says so")));
        assert!(read_all(&mut rig.desktop).await.is_err(), "the desktop sees a reset");
    }
}

#[tokio::test]
async fn a_cut_comes_while_nobody_reads() {
    let mut rig = Rig::start(b"", b"").await;
    fill(&mut rig.desktop).await;
    fill(&mut rig.browser).await;
    let before = Instant::now();
    rig.cut();
    let end = timeout(PATIENCE, rig.running).await.unwrap().unwrap();
    assert!(matches!(end, End::Cut(_)) && before.elapsed() < CLOSE_LIMIT, "{end} after {:?}", before.elapsed());
    assert!(timeout(PATIENCE, rig.desktop.write_all(&[0; 1000])).await.unwrap().is_err());
    assert!(timeout(PATIENCE, rig.browser.write_all(&[0; 1000])).await.unwrap().is_err());
}

#[tokio::test]
async fn a_browser_that_takes_the_close_but_does_not_close_is_reset() {
    let mut rig = Rig::start(b"", b"").await;
    rig.cut();
    let mut close = [0; 4];
    rig.browser.read_exact(&mut close).await.unwrap();
    assert_eq!(close, GOING_AWAY);
    assert_eq!(rig.browser.read(&mut close).await.unwrap(), 0, "a FIN");
    assert!(matches!(timeout(PATIENCE, rig.running).await.unwrap().unwrap(), End::Cut(_)));
    rig.browser.write_all(b"x").await.ok();
    assert!(timeout(PATIENCE, rig.browser.read(&mut close)).await.unwrap().is_ok_and(|read| read == 0));
}

#[tokio::test]
async fn an_idle_relay_holds_no_memory() {
    let ((mut browser, near_browser), (mut desktop, near_desktop)) = (pair().await, pair().await);
    let mut relay = Relay::new((near_browser, b""), (Connection::Plain(near_desktop), b""), |_| ());
    let traffic = async {
        for _ in 0..20 {
            desktop.write_all(&pattern(300_000, 1)).await.unwrap();
            browser.read_exact(&mut vec![0; 300_000]).await.unwrap();
            browser.write_all(b"answer").await.unwrap();
            desktop.read_exact(&mut [0; 6]).await.unwrap();
        }
    };
    tokio::select! {
        _ = relay.transfer() => panic!("nobody ended"),
        () = traffic => {}
    }
    assert!(relay.up.is_idle() && relay.down.is_idle());
    let running = relay.run(pending());
    assert!(size_of_val(&running) < 2048, "{} bytes", size_of_val(&running));
}
