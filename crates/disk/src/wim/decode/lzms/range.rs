//! The range coder of LZMS: binary decisions, whose probability is given by their last 64 outcomes.

/// The initial outcomes of a decision, the newest in the lowest bit: 16 of 64 are ones.
const FIRST_OUTCOMES: u64 = 0x5555_5555;

/// The history of a decision in one state.
#[derive(Clone, Copy)]
struct Probability {
    /// The last 64 outcomes, the newest in the lowest bit.
    outcomes: u64,
    /// The number of zeros among them.
    zeros: u32,
}

/// A decision. Its last outcomes select one of `STATES` states.
pub(super) struct Decision<const STATES: usize> {
    state: usize,
    probabilities: [Probability; STATES],
}

impl<const STATES: usize> Decision<STATES> {
    pub(super) fn new() -> Self {
        const { assert!(STATES.is_power_of_two()) };
        let fresh = Probability { outcomes: FIRST_OUTCOMES, zeros: FIRST_OUTCOMES.count_zeros() };
        Decision { state: 0, probabilities: [fresh; STATES] }
    }
}

/// Reads decisions from the start of a buffer. Past its end, the bits are zeros.
pub(super) struct RangeDecoder<'a> {
    words: std::slice::Iter<'a, [u8; 2]>,
    range: u32,
    code: u32,
}

impl<'a> RangeDecoder<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        let mut decoder = RangeDecoder { words: input.as_chunks::<2>().0.iter(), range: u32::MAX, code: 0 };
        decoder.code = decoder.word() << 16 | decoder.word();
        decoder
    }

    #[inline(always)]
    fn word(&mut self) -> u32 {
        self.words.next().map_or(0, |word| u32::from(u16::from_le_bytes(*word)))
    }

    /// Returns the next outcome of a decision.
    #[inline(always)]
    pub(super) fn decide<const STATES: usize>(&mut self, decision: &mut Decision<STATES>) -> bool {
        if self.range <= 0xffff {
            self.range <<= 16;
            self.code = self.code << 16 | self.word();
        }
        let probability = &mut decision.probabilities[decision.state & (STATES - 1)];
        // Both outcomes always have a probability above 0.
        let bound = (self.range >> 6) * probability.zeros.clamp(1, 63);
        let outcome = self.code >= bound;
        if outcome {
            (self.range, self.code) = (self.range - bound, self.code - bound);
        } else {
            self.range = bound;
        }
        // The oldest outcome is dropped: one more zero if it was a one, one less if the new outcome is a one.
        let oldest = u32::from(probability.outcomes >> 63 == 1);
        probability.zeros = probability.zeros + oldest - u32::from(outcome);
        probability.outcomes = probability.outcomes << 1 | u64::from(outcome);
        decision.state = (decision.state << 1 | usize::from(outcome)) & (STATES - 1);
        outcome
    }
}
