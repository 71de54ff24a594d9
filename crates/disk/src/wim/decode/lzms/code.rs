//! The adaptive prefix codes of LZMS, and their bit stream.

use super::super::Broken;
use super::super::bits::Bits;
use super::super::huffman::Code;

/// Bits of a codeword at most.
const LONGEST: usize = 15;

/// Reads bits from the end of a buffer, the last word first. Before the first word, the bits are zeros.
pub(super) type Backward<'a> = Bits<'a, true>;

/// A code that is rebuilt from the frequencies of its symbols after a fixed number of symbols.
pub(super) struct AdaptiveCode<const SYMBOLS: usize> {
    code: Box<Code<SYMBOLS, 1024>>,
    frequencies: [u32; SYMBOLS],
    /// Number of symbols in use.
    symbols: usize,
    /// Number of symbols between two rebuilds.
    interval: u32,
    /// Number of symbols until the next rebuild.
    left: u32,
    lengths: [u8; SYMBOLS],
    /// See [`code_lengths`].
    nodes: Vec<u32>,
}

impl<const SYMBOLS: usize> AdaptiveCode<SYMBOLS> {
    pub(super) fn new(interval: u32) -> Self {
        AdaptiveCode {
            code: Box::new(Code::new()),
            frequencies: [1; SYMBOLS],
            symbols: 0,
            interval,
            left: 0,
            lengths: [0; SYMBOLS],
            nodes: Vec::with_capacity(SYMBOLS),
        }
    }

    /// Resets the code for a chunk with `symbols` symbols of equal frequency.
    pub(super) fn begin(&mut self, symbols: usize) {
        self.symbols = symbols.min(SYMBOLS);
        self.frequencies = [1; SYMBOLS];
        self.left = 0;
    }

    /// Reads a symbol.
    #[inline(always)]
    pub(super) fn decode(&mut self, bits: &mut Backward<'_>) -> Result<usize, Broken> {
        if self.left == 0 {
            self.rebuild()?;
        }
        bits.ensure(LONGEST as u32);
        let symbol = self.code.read(bits)?;
        *self.frequencies.get_mut(symbol).ok_or(Broken)? += 1;
        self.left -= 1;
        Ok(symbol)
    }

    /// Rebuilds the code from the frequencies, then halves them. The first code uses the initial frequencies.
    #[cold]
    fn rebuild(&mut self) -> Result<(), Broken> {
        code_lengths(&self.frequencies[..self.symbols], &mut self.lengths, &mut self.nodes);
        self.code.build(&self.lengths[..self.symbols])?;
        for frequency in &mut self.frequencies {
            *frequency = *frequency / 2 + 1;
        }
        self.left = self.interval;
        Ok(())
    }
}

/// Computes the length of each codeword by Huffman's algorithm, limited to [`LONGEST`]. Of equally frequent symbols,
/// the higher one counts as more frequent. Of an equally frequent symbol and node, the symbol is merged first.
fn code_lengths(frequencies: &[u32], lengths: &mut [u8], nodes: &mut Vec<u32>) {
    /// Bits of a symbol.
    const LOW: u32 = 10;
    let used = frequencies.len();
    if used < 2 {
        // A single symbol has a codeword of one bit.
        lengths[..used].fill(1);
        return;
    }
    // Fewer than 1024 symbols; frequencies stay below 2^13.
    nodes.clear();
    nodes.extend(frequencies.iter().zip(0u32..).map(|(frequency, symbol)| frequency << LOW | symbol));
    nodes.sort_unstable();
    let mut sorted = [0u16; 1 << LOW];
    for (sorted, node) in sorted.iter_mut().zip(&*nodes) {
        *sorted = (node & ((1 << LOW) - 1)) as u16;
    }
    // In place: merged nodes replace merged leaves. A node first holds its frequency, then its parent.
    nodes.iter_mut().for_each(|node| *node >>= LOW);
    let (mut leaf, mut inner) = (0, 0);
    for joined in 0..used - 1 {
        let mut next = |nodes: &mut [u32]| {
            if leaf < used && (inner >= joined || nodes[leaf] <= nodes[inner]) {
                leaf += 1;
                nodes[leaf - 1]
            } else {
                inner += 1;
                // There are fewer than 1024 nodes.
                std::mem::replace(&mut nodes[inner - 1], joined as u32)
            }
        };
        nodes[joined] = next(nodes) + next(nodes);
    }
    // From the root down: each inner node replaces a codeword of its depth by two codewords that are longer by one.
    let mut counts = [0usize; LONGEST + 2];
    counts[1] = 2;
    let root = used - 2;
    nodes[root] = 0;
    for node in (0..root).rev() {
        let mut depth = nodes[nodes[node] as usize] as usize + 1;
        nodes[node] = depth as u32;
        if depth >= LONGEST {
            depth = LONGEST - 1;
            while counts[depth] == 0 {
                depth -= 1;
            }
        }
        counts[depth] -= 1;
        counts[depth + 1] += 2;
    }
    // The rarest symbols have the longest codewords.
    let mut rarest = sorted.iter();
    for length in (1..=LONGEST).rev() {
        for symbol in rarest.by_ref().take(counts[length]) {
            lengths[usize::from(*symbol)] = length as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths_of(frequencies: &[u32]) -> Vec<u8> {
        let mut lengths = vec![0; frequencies.len()];
        code_lengths(frequencies, &mut lengths, &mut Vec::new());
        lengths
    }

    /// Returns the total number of bits of all symbols.
    fn cost(frequencies: &[u32], lengths: &[u8]) -> u64 {
        frequencies.iter().zip(lengths).map(|(frequency, length)| u64::from(*frequency) * u64::from(*length)).sum()
    }

    #[test]
    fn codes_are_complete_and_optimal() {
        assert_eq!(lengths_of(&[1, 1]), [1, 1]);
        assert_eq!(lengths_of(&[5, 1, 1]), [1, 2, 2]);
        assert_eq!(lengths_of(&[1; 8]), [3; 8]);
        // Of five equally frequent symbols, the last three have the shorter codewords.
        assert_eq!(lengths_of(&[1; 5]), [3, 3, 2, 2, 2]);
        let frequencies = [1, 1, 2, 3, 5, 8, 13, 21];
        assert_eq!(cost(&frequencies, &lengths_of(&frequencies)), 132);
    }

    #[test]
    fn no_codeword_is_longer_than_fifteen_bits() {
        let mut frequencies = vec![1, 1];
        while frequencies.len() < 18 {
            frequencies.push(frequencies[frequencies.len() - 1] + frequencies[frequencies.len() - 2]);
        }
        let lengths = lengths_of(&frequencies);
        let sum: u32 = lengths.iter().map(|length| 1 << (15 - length)).sum();
        assert!(lengths.iter().all(|length| *length <= 15));
        assert_eq!(sum, 1 << 15);
    }
}
