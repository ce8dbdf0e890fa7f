//! Accepting: sockets become transports within the time for CONNECT, and transports become sessions. A listener over
//! its bound turns newcomers away; one that runs out of descriptors waits instead of spinning.

use std::net::SocketAddr;
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use std::time::Duration;

use postrider_bridge::{AcceptRules, accept};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    drive::{Services, busy_frame, drive},
    transport::{Transport, TransportKind},
};

/// After a failed accept.
const BACK_OFF: Duration = Duration::from_millis(100);
/// When a connection that is turned away should come back.
const BUSY_RETRY_MS: u32 = 5_000;
/// Connections that are told why they are turned away, at once; beyond that they are dropped.
const TURNING_AWAY: usize = 64;

/// Numbers connections, over all listeners of a process.
static NEXT: AtomicU64 = AtomicU64::new(1);

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
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
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
                    let (listener, guard) = (Arc::clone(&listener), Guard::new(&turning_away));
                    let stop = stop.clone();
                    tracker.spawn(async move {
                        tokio::select! {
                            () = listener.turn_away(stream) => {}
                            () = stop.cancelled() => {}
                        }
                        drop(guard);
                    });
                }
                continue;
            }
            counters.opened.inc();
            counters.open.inc();
            let (listener, services, guard) = (Arc::clone(&listener), Arc::clone(&services), Guard::new(&open));
            let stop = stop.clone();
            tracker.spawn(async move {
                listener.serve(stream, services, stop).await;
                drop(guard);
            });
        }
    }

    /// Who is still shaking hands at `stop` is dropped: nothing was accepted from them, and the end waits for nobody.
    async fn serve(&self, stream: TcpStream, services: Arc<Services>, stop: CancellationToken) {
        let accepted = services.clock.now();
        let transport = tokio::select! {
            transport = self.shake_hands(stream) => transport,
            () = stop.cancelled() => None,
        };
        match transport {
            Some(transport) => drive(services, transport, NEXT.fetch_add(1, Ordering::Relaxed), accepted).await,
            None => {
                let counters = services.metrics.transport(self.kind);
                counters.handshakes_failed.inc();
                counters.open.dec();
            }
        }
    }

    async fn turn_away(&self, stream: TcpStream) {
        if let Some(mut transport) = self.shake_hands(stream).await {
            // Who is turned away may be gone already.
            let _ = transport.write_all(&busy_frame(BUSY_RETRY_MS)).await;
            let _ = transport.close_with(postrider_protocol::Reason::Busy).await;
        }
    }

    async fn shake_hands(&self, stream: TcpStream) -> Option<Transport> {
        // Without it small answers wait for the peer's acknowledgement of earlier ones; a socket that refuses is gone.
        let _ = stream.set_nodelay(true);
        let shake = async {
            Some(match (self.kind, &self.tls) {
                (TransportKind::Tcp, _) => Transport::Tcp(stream),
                (TransportKind::Ws, _) => Transport::Ws(Box::new(accept(stream, &self.rules).await.ok()?)),
                (TransportKind::Tls, Some(tls)) => Transport::Tls(Box::new(tls.accept(stream).await.ok()?)),
                (TransportKind::Wss, Some(tls)) => {
                    let stream = tls.accept(stream).await.ok()?;
                    Transport::Wss(Box::new(accept(stream, &self.rules).await.ok()?))
                }
                (TransportKind::Tls | TransportKind::Wss, None) => return None,
            })
        };
        tokio::time::timeout(self.handshake, shake).await.ok().flatten()
    }
}

/// Counts one while it lives.
struct Guard(Arc<AtomicUsize>);

impl Guard {
    fn new(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counter))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
