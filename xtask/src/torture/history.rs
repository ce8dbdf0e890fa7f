//! What the clients of one run did and saw, in numbers: who sent what when, which seq it got, who saw what where.

/// A user by index.
pub type User = u32;
/// A channel by index.
pub type Channel = u32;

/// One command, as its user meant it once: however often it is sent, it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Intent {
    /// Who meant it.
    pub user: User,
    /// The stamp of the sender that numbered it.
    pub sender: u64,
    /// Its number there.
    pub number: u64,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody answered.
    Unknown,
    /// Acknowledged at `at` with `seq`; the first answer.
    Acknowledged {
        /// When, nanoseconds since the run began.
        at: u64,
        /// Its place.
        seq: u64,
    },
    /// Refused for good.
    Refused,
}

/// A command and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Which.
    pub intent: Intent,
    /// Where it went.
    pub channel: Channel,
    /// When it was first sent, nanoseconds since the run began.
    pub invoked: u64,
    /// Its end.
    pub outcome: Outcome,
}

/// How a device came to see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By RECV.
    Pushed,
    /// By SYNC.
    Pulled,
}

/// A device saw what stands at a seq.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The user; each has one device.
    pub user: User,
    /// Which of the user's connections, counted.
    pub connection: u32,
    /// By RECV or SYNC.
    pub how: How,
    /// The channel.
    pub channel: Channel,
    /// The seq.
    pub seq: u64,
    /// What stood there; none when its bytes proved wrong.
    pub intent: Option<Intent>,
}

/// What LIST told a device of a channel.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// The user.
    pub user: User,
    /// The channel.
    pub channel: Channel,
    /// Sync what lies above this.
    pub sync_from: u64,
    /// The head.
    pub head: u64,
    /// The highest RECVACK that the device ever sent for it.
    pub acknowledged: u64,
    /// The cursor that the server must know: the RECVACK before its last orderly stop.
    pub settled: u64,
}

/// A whole channel as one member read it at the end.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Who read.
    pub user: User,
    /// What.
    pub channel: Channel,
    /// The head that LIST told.
    pub head: u64,
    /// Image by image: seq, and what stands there (none when its bytes proved wrong).
    pub items: Vec<(u64, Option<Intent>)>,
    /// Gaps: first and last seq.
    pub gaps: Vec<(u64, u64)>,
}

/// Everything of one run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// How many channels there are; a channel's members by index.
    pub members: Vec<Vec<User>>,
    /// Every command, in the order of each user's numbers.
    pub commands: Vec<Command>,
    /// Every accepting answer, repeated ones too.
    pub answers: Vec<(Intent, u64)>,
    /// Everything that was seen, in each device's order.
    pub seen: Vec<Seen>,
    /// Everything that LIST told.
    pub listed: Vec<Listed>,
    /// The channels at the end.
    pub readings: Vec<Reading>,
}

impl History {
    /// Takes what another client recorded.
    pub fn absorb(&mut self, other: Self) {
        self.commands.extend(other.commands);
        self.answers.extend(other.answers);
        self.seen.extend(other.seen);
        self.listed.extend(other.listed);
        self.readings.extend(other.readings);
    }
}
