//! Accepting: sockets become transports within the time for CONNECT, and transports become sessions. A listener over
//! its bound turns newcomers away; one that runs out of descriptors waits instead of spinning.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;
use std::{
    net::SocketAddr,
    pin::{Pin, pin},
};

use postrider_bridge::{AcceptRules, accept};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    drive::{Drive, Services, busy_frame},
    transport::{Transport, TransportKind},
};

/// After so many accepts whoever is ready goes first: newcomers may come by the thousand, and each is work.
const TURN: u32 = 4;
/// After a failed accept.
const BACK_OFF: Duration = Duration::from_millis(100);
/// When a connection that is turned away should come back.
const BUSY_RETRY_MS: u32 = 5_000;
/// Connections that are told why they are turned away, at once; beyond that they are dropped.
const TURNING_AWAY: usize = 64;

/// Connections that the system has made and the server has not taken yet: as many as the system allows
/// (`net.core.somaxconn`). Those beyond are dropped, and their peers try again only a second later.
const BACKLOG: u32 = 65_535;

/// Listens on `addr`.
///
/// # Errors
/// Those of the system: the address is taken, say.
pub fn bind(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that starts again does not wait for the connections of the one before to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// One listening socket.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// What its connections speak.
    pub kind: TransportKind,
    /// For TLS and WSS.
    pub tls: Option<TlsAcceptor>,
    /// For WS and WSS.
    pub rules: Arc<AcceptRules>,
    /// Most connections at once.
    pub max: usize,
    /// Handshakes have so long.
    pub handshake: Duration,
}

impl Listener {
    /// Where it listens.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until `stop`; sessions run on `tracker` and outlive this call.
    pub async fn run(self, services: Arc<Services>, tracker: TaskTracker, stop: CancellationToken) {
        let open = Arc::new(AtomicUsize::new(0));
        let turning_away = Arc::new(AtomicUsize::new(0));
        let listener = Arc::new(self);
        let mut stopped = pin!(stop.cancelled());
        let mut turn = 0;
        loop {
            turn = (turn + 1) % TURN;
            if turn == 0 {
                tokio::task::yield_now().await;
            }
            let accepted = tokio::select! {
                () = &mut stopped => return,
                accepted = listener.socket.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tracing::warn!(transport = listener.kind.name(), "cannot accept: out of descriptors or memory");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            };
            let counters = services.metrics.transport(listener.kind);
            if open.load(Ordering::Relaxed) >= listener.max {
                counters.turned_away.inc();
                if turning_away.load(Ordering::Relaxed) < TURNING_AWAY {
                    let turn_away = Arc::clone(&listener).turn_away(stream, Seat::take(&turning_away));
                    tracker.spawn(until(stop.clone(), turn_away));
                }
                continue;
            }
            counters.opened.inc();
            counters.open.inc();
            let (services, seat, accepted) = (Arc::clone(&services), Seat::take(&open), services.clock.now());
            if listener.kind == TransportKind::Tcp {
                set_up(&stream);
                tracker.spawn(Drive::new(services, Transport::Tcp(stream), seat, accepted));
                continue;
            }
            let (listener, then, stop) = (Arc::clone(&listener), tracker.clone(), stop.clone());
            // Shaking hands takes far more memory than what comes after it, which is a task of its own.
            tracker.spawn(async move {
                // Who is still at it when the server stops is dropped: nothing was accepted from them.
                if let Some(transport) = until(stop, listener.shake_hands(stream)).await.flatten() {
                    then.spawn(Drive::new(services, transport, seat, accepted));
                } else {
                    let counters = services.metrics.transport(listener.kind);
                    counters.handshakes_failed.inc();
                    counters.open.dec();
                }
            });
        }
    }

    async fn turn_away(self: Arc<Self>, stream: TcpStream, _seat: Seat) {
        if let Some(mut transport) = self.shake_hands(stream).await {
            // Who is turned away may be gone already.
            let _ = transport.write_all(&busy_frame(BUSY_RETRY_MS)).await;
            let _ = transport.close_with(postrider_protocol::Reason::Busy).await;
        }
    }

    async fn shake_hands(&self, stream: TcpStream) -> Option<Transport> {
        set_up(&stream);
        let rules = &self.rules;
        // Boxed one by one: a task has the size of the largest future in it, and many may be shaking hands.
        let shake: Pin<Box<dyn Future<Output = Option<Transport>> + Send>> = match (self.kind, &self.tls) {
            (TransportKind::Tcp, _) => return Some(Transport::Tcp(stream)),
            (TransportKind::Ws, _) => {
                Box::pin(async { Some(Transport::Ws(Box::new(accept(stream, rules).await.ok()?))) })
            }
            (TransportKind::Tls, Some(tls)) => {
                let shake = Box::pin(tls.accept(stream));
                Box::pin(async { Some(Transport::Tls(Box::new(shake.await.ok()?))) })
            }
            (TransportKind::Wss, Some(tls)) => {
                let shake = Box::pin(tls.accept(stream));
                Box::pin(async {
                    let stream = Box::new(shake.await.ok()?);
                    Some(Transport::Wss(Box::new(accept(stream, rules).await.ok()?)))
                })
            }
            (TransportKind::Tls | TransportKind::Wss, None) => return None,
        };
        tokio::time::timeout(self.handshake, shake).await.ok().flatten()
    }
}

fn set_up(stream: &TcpStream) {
    // Without it small answers wait for the peer's acknowledgement of earlier ones; a socket that refuses is gone.
    let _ = stream.set_nodelay(true);
}

/// What `work` gives, or none when `stop` comes first.
async fn until<T>(stop: CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = stop.cancelled() => None,
    }
}

/// One of the places of a listener, taken while this lives.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(taken: &Arc<AtomicUsize>) -> Self {
        taken.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(taken))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
