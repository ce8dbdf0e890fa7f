use super::*;

const DAY_MS: u64 = 86_400_000;

fn limit(requests_per_minute: u64, bytes_per_day: u64, bytes_per_month: u64) -> Limit {
    Limit { requests_per_minute, bytes_per_day, bytes_per_month }
}

struct Case {
    quotas: Quotas,
    user: Id,
    channel: Channel,
    connection: Connection,
}

impl Case {
    fn new(limits: Limits) -> Self {
        let (user, channel) = ("alice".parse().unwrap(), Channel::group(&"team".parse().unwrap()));
        Self { quotas: Quotas::new(limits), user, channel, connection: Connection::default() }
    }

    fn charge(&self, bytes: u64, now_ms: u64) -> Result<(), Over> {
        self.charge_in(0, bytes, now_ms)
    }

    fn charge_in(&self, tenant: u32, bytes: u64, now_ms: u64) -> Result<(), Over> {
        let who = Charged { tenant, user: &self.user, channel: &self.channel };
        self.quotas.charge(who, Some(&self.connection), bytes, now_ms)
    }

    fn used(&self, now_ms: u64) -> Vec<(u8, u64, u64, u64)> {
        let (connection, channel) = (Some(&self.connection), Some(&self.channel));
        let all = self.quotas.usage(0, &self.user, connection, channel, now_ms);
        all.iter().map(|it| (it.scope, it.minute.used, it.day.used, it.month.used)).collect()
    }
}

#[test]
fn nothing_is_charged_when_one_scope_refuses() {
    let all = limit(10, 1_000, 10_000);
    let case = Case::new(Limits { user: all, channel: limit(2, 0, 0), connection: all, tenant: all });
    assert_eq!(case.charge(100, 0), Ok(()));
    assert_eq!(case.charge(100, 0), Ok(()));
    let over = case.charge(100, 1).unwrap_err();
    assert_eq!(over, Over { scope: Scope::Channel, retry_after_ms: 59_999 });
    assert_eq!(case.used(1), [(1, 2, 200, 200), (2, 2, 200, 200), (3, 2, 200, 200)]);
    assert_eq!(case.charge(801, 60_000).unwrap_err().scope, Scope::User);
    assert_eq!(case.charge(800, 60_000), Ok(()), "to the last byte");
}

#[test]
fn who_is_over_several_quotas_is_told_the_longest_wait() {
    let case = Case::new(Limits { user: limit(1, 10, 0), tenant: limit(0, 0, 10), ..Limits::default() });
    assert_eq!(case.charge(10, 0), Ok(()));
    let over = case.charge(10, 0).unwrap_err();
    assert_eq!((over.scope, u64::from(over.retry_after_ms)), (Scope::Tenant, 31 * DAY_MS));
}

#[test]
fn each_time_begins_anew_and_a_clock_that_is_set_back_gives_nothing() {
    let case = Case::new(Limits { user: limit(1, 10, 15), ..Limits::default() });
    assert_eq!(case.charge(10, DAY_MS - 1), Ok(()));
    assert_eq!(case.charge(5, DAY_MS), Ok(()), "a new minute, a new day");
    assert_eq!(case.charge(5, DAY_MS - 600_000).unwrap_err().scope, Scope::User);
    assert_eq!(case.charge(5, 2 * DAY_MS).unwrap_err().retry_after_ms as u64, 29 * DAY_MS);
    assert_eq!(case.charge(10, 31 * DAY_MS), Ok(()), "a new month");
}

#[test]
fn a_tenant_has_its_own_quota_and_its_own_users() {
    let case = Case::new(Limits { user: limit(1, 0, 0), tenant: limit(1, 0, 0), ..Limits::default() });
    assert_eq!(case.charge_in(1, 1, 0), Ok(()));
    assert_eq!(case.charge_in(2, 1, 0), Ok(()));
    assert!(case.charge_in(1, 1, 0).is_err());
}

#[test]
fn sixty_four_at_once_are_never_over_and_never_leak() {
    let case = Case::new(Limits {
        user: limit(1_000, 0, 0),
        channel: limit(0, 7_001, 0),
        connection: limit(0, 0, 9_000),
        tenant: limit(900, 0, 0),
    });
    let accepted: u64 = std::thread::scope(|scope| {
        let each = || (0..64).map(|_| case.charge(7, 5)).filter(Result::is_ok).count() as u64;
        let threads: Vec<_> = (0..64).map(|_| scope.spawn(each)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(accepted, 900);
    assert!(case.used(5).iter().all(|used| *used == (used.0, 900, 6_300, 6_300)), "{:?}", case.used(5));
}

#[test]
fn what_was_used_comes_back_from_its_bytes_and_from_no_others() {
    let limits = Limits { user: limit(0, 0, 100), channel: limit(0, 50, 0), ..Limits::default() };
    let case = Case::new(limits);
    assert_eq!(case.quotas.save(), None, "nothing was used");
    case.charge(40, 7).unwrap();
    let bytes = case.quotas.save().unwrap();
    assert_eq!(case.quotas.save(), None, "nothing more was used");
    let again = Case::new(limits);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(!again.quotas.restore(&damaged), "byte {at}");
        assert!(!again.quotas.restore(&bytes[..at]), "{at} bytes");
    }
    assert!(again.quotas.restore(&bytes));
    assert_eq!(again.used(7), [(1, 1, 40, 40), (2, 1, 40, 40)]);
}

#[test]
fn what_counts_no_more_is_forgotten() {
    let quotas = Quotas::new(Limits { user: limit(5, 0, 0), ..Limits::default() });
    let channel = Channel::group(&"team".parse().unwrap());
    for number in 0..20_000_u64 {
        let user = format!("user-{number}").parse().unwrap();
        quotas.charge(Charged { tenant: 0, user: &user, channel: &channel }, None, 1, number * 60_000).unwrap();
    }
    assert!(quotas.lock().users.len() <= SWEEP_AT, "{}", quotas.lock().users.len());
}

#[test]
fn off_is_off() {
    let case = Case::new(Limits::default());
    assert!(!case.quotas.is_on() && case.quotas.connection().is_none());
    assert_eq!(case.used(0), []);
}
