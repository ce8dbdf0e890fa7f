//! The commands of one connection that are under way.

/// One message on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Which of the connection's flows it belongs to.
    pub flow: u32,
    /// Its number in the flow.
    pub number: u64,
    /// When it was, or should have been, sent: nanoseconds of the run.
    pub at_ns: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    Flying,
    Refused,
}

/// Numbers commands from 1, and knows each until it is answered.
#[derive(Debug)]
pub(crate) struct Window {
    slots: Vec<Sent>,
    /// The number of the next command.
    next: u64,
    /// The lowest number that is not answered; `next` when all are.
    oldest: u64,
    /// How many are not answered, the refused ones too.
    waiting: u32,
    /// How many were refused and wait to be sent again.
    refused: u32,
}

impl Window {
    /// Room for numbers that lie less than `span` apart.
    pub(crate) fn new(span: u32) -> Self {
        let len = span.max(1).next_power_of_two() as usize;
        Self { slots: vec![Sent::default(); len], next: 1, oldest: 1, waiting: 0, refused: 0 }
    }

    pub(crate) const fn oldest(&self) -> u64 {
        self.oldest
    }

    pub(crate) const fn waiting(&self) -> u32 {
        self.waiting
    }

    pub(crate) const fn refused(&self) -> u32 {
        self.refused
    }

    /// Whether the next number lies less than the span above the oldest.
    pub(crate) fn has_room(&self) -> bool {
        self.next - self.oldest < self.slots.len() as u64
    }

    /// Takes the next number; call it only while there is room.
    pub(crate) fn take(&mut self, flow: u32, number: u64, at_ns: u64) -> u64 {
        let taken = self.next;
        self.next += 1;
        if let Some(slot) = self.slot(taken) {
            *slot = Sent { flow, number, at_ns, state: State::Flying };
            self.waiting += 1;
        }
        taken
    }

    /// The answer to `number` is here: what it was; none when it is not under way.
    pub(crate) fn answered(&mut self, number: u64) -> Option<Sent> {
        if number < self.oldest || number >= self.next {
            return None;
        }
        let slot = self.slot(number)?;
        let sent = std::mem::take(slot);
        if sent.state == State::Free {
            return None;
        }
        self.refused -= u32::from(sent.state == State::Refused);
        self.waiting -= 1;
        while self.oldest < self.next && self.slot(self.oldest).is_none_or(|slot| slot.state == State::Free) {
            self.oldest += 1;
        }
        Some(sent)
    }

    /// `number` is to be sent again later; false when it is not under way.
    pub(crate) fn refuse(&mut self, number: u64) -> bool {
        let in_reach = number >= self.oldest && number < self.next;
        match self.slot(number) {
            Some(slot) if in_reach && slot.state == State::Flying => {
                slot.state = State::Refused;
                self.refused += 1;
                true
            }
            _ => false,
        }
    }

    /// Calls `each` with every command to be sent again, ascending: the refused ones, or `all`.
    pub(crate) fn again(&mut self, all: bool, mut each: impl FnMut(u64, &Sent)) {
        for number in self.oldest..self.next {
            let Some(slot) = self.slot(number) else { continue };
            if slot.state == State::Refused || (all && slot.state == State::Flying) {
                slot.state = State::Flying;
                let slot = *slot;
                each(number, &slot);
            }
        }
        self.refused = 0;
    }

    /// The number that ends with the lowest bits `low` under `mask` (all ones), at or above the oldest.
    pub(crate) const fn complete(&self, low: u64, mask: u64) -> u64 {
        self.oldest + (low.wrapping_sub(self.oldest) & mask)
    }

    fn slot(&mut self, number: u64) -> Option<&mut Sent> {
        let mask = self.slots.len() as u64 - 1;
        self.slots.get_mut((number & mask) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_moves_over_what_is_answered() {
        let mut window = Window::new(4);
        for number in 1..=4 {
            assert!(window.has_room());
            assert_eq!(window.take(0, number, 0), number);
        }
        assert!(!window.has_room());
        assert!(window.answered(2).is_some());
        assert!(window.answered(2).is_none(), "answered twice");
        assert!(!window.has_room(), "1 is still the oldest");
        assert!(window.answered(1).is_some());
        assert_eq!((window.oldest(), window.waiting()), (3, 2));
        assert!(window.has_room());
        assert!(window.answered(9).is_none());
    }

    #[test]
    fn the_refused_come_again_in_order() {
        let mut window = Window::new(8);
        for number in 1..=4 {
            window.take(0, number, 0);
        }
        assert!(window.refuse(3) && window.refuse(2) && !window.refuse(2));
        assert_eq!(window.refused(), 2);
        let mut again = Vec::new();
        window.again(false, |number, _| again.push(number));
        assert_eq!(again, [2, 3]);
        again.clear();
        window.again(true, |number, _| again.push(number));
        assert_eq!(again, [1, 2, 3, 4]);
    }

    #[test]
    fn a_number_is_told_by_its_lowest_bits() {
        let mut window = Window::new(4);
        for number in 1..=40_000 {
            window.take(0, number, 0);
            if number < 40_000 {
                window.answered(number);
            }
        }
        assert_eq!(window.complete(40_000 & 0x7fff, 0x7fff), 40_000);
    }
}
