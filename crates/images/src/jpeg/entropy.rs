//! Bits and Huffman codes (ITU-T T.81, annexes C and F).

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

/// A table of Huffman codes.
pub(super) struct Huffman {
    /// For the next bits, `LOOKUP_BITS` of them: length of the code and symbol; length 0 where the
    /// code is longer.
    lookup: Box<[(u8, u8); 1 << LOOKUP_BITS]>,
    /// For each length: one more than the largest code, aligned left in 17 bits.
    ends: [u32; 17],
    /// For each length: what to add to a code to find its symbol.
    offsets: [i32; 17],
    symbols: Vec<u8>,
    /// Made when it is first needed.
    steps: OnceCell<Box<Steps>>,
}

const LOOKUP_BITS: u32 = 9;
const STEP_BITS: u32 = 11;
const LONGEST: u32 = 16;

/// For the next bits, `STEP_BITS` of them, read as code and value of a coefficient, what they mean.
type Steps = [Step; 1 << STEP_BITS];

/// What some bits mean: a number of zero coefficients, then one that is not.
#[derive(Clone, Copy, Default)]
pub(super) struct Step {
    /// The coefficient; 0 where its bits are not all among those looked up, or there is none.
    pub(super) value: i16,
    /// Bits of the code, and of the value if it is known; 0 where the code is longer.
    len: u8,
    /// The symbol: zeros before the coefficient (4 bits), its length (4 bits).
    pub(super) symbol: u8,
}

impl Step {
    /// Zero coefficients before this one.
    #[inline(always)]
    pub(super) fn zeros(self) -> usize {
        usize::from(self.symbol >> 4)
    }

    /// Bits of the coefficient.
    #[inline(always)]
    pub(super) fn size(self) -> u32 {
        u32::from(self.symbol & 15)
    }
}

/// The files of a set mostly bring the same few tables.
const KEPT_TABLES: usize = 8;

thread_local! {
    static KEPT: RefCell<Vec<Rc<Huffman>>> = const { RefCell::new(Vec::new()) };
}

impl Huffman {
    /// The codes of which `counts[i]` are `i + 1` bits long, in the order of their symbols.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Rc<Self>, &'static str> {
        KEPT.with_borrow_mut(|kept| {
            let found = kept.iter().find(|table| table.is(counts, symbols));
            if let Some(table) = found {
                return Ok(Rc::clone(table));
            }
            let table = Rc::new(Self::build(counts, symbols)?);
            if kept.len() == KEPT_TABLES {
                kept.remove(0);
            }
            kept.push(Rc::clone(&table));
            Ok(table)
        })
    }

    /// Whether it was made from these.
    fn is(&self, counts: &[u8; 16], symbols: &[u8]) -> bool {
        let mut code = 0u32;
        let same_counts = (1..).zip(counts).all(|(len, &count)| {
            code = (code << 1) + u32::from(count);
            self.ends[len] == code << (LONGEST - len as u32)
        });
        same_counts && self.symbols == symbols
    }

    fn build(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, &'static str> {
        let mut table = Self {
            lookup: Box::new([(0, 0); 1 << LOOKUP_BITS]),
            ends: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
            steps: OnceCell::new(),
        };
        let (mut code, mut place) = (0u32, 0usize);
        for (len, &count) in (1u32..).zip(counts) {
            table.offsets[len as usize] = place as i32 - code as i32;
            for &symbol in &symbols[place..place + usize::from(count)] {
                if code >= 1 << len {
                    return Err("a Huffman table has too many codes");
                }
                if len <= LOOKUP_BITS {
                    let spread = 1 << (LOOKUP_BITS - len);
                    let start = (code as usize) << (LOOKUP_BITS - len);
                    table.lookup[start..start + spread].fill((len as u8, symbol));
                }
                code += 1;
            }
            place += usize::from(count);
            table.ends[len as usize] = code << (LONGEST - len);
            code <<= 1;
        }
        Ok(table)
    }

    /// What the next bits mean for a block that is sent as a whole.
    pub(super) fn steps(&self) -> &Steps {
        self.steps.get_or_init(|| {
            let mut steps = Box::new([Step::default(); 1 << STEP_BITS]);
            let mut code = 0u32;
            for len in 1..=STEP_BITS {
                let end = self.ends[len as usize] >> (LONGEST - len);
                while code < end {
                    let place = (code as i32 + self.offsets[len as usize]) as usize;
                    let symbol = self.symbols[place];
                    let room = STEP_BITS - len;
                    let start = (code as usize) << room;
                    for (behind, step) in (0u32..).zip(&mut steps[start..start + (1 << room)]) {
                        let size = u32::from(symbol & 15);
                        let known = size > 0 && size <= room;
                        *step = Step {
                            value: match known {
                                true => extended(behind >> (room - size), size) as i16,
                                false => 0,
                            },
                            len: (if known { len + size } else { len }) as u8,
                            symbol,
                        };
                    }
                    code += 1;
                }
                code <<= 1;
            }
            steps
        })
    }
}

/// A signed number from its bits (T.81, F.2.2.1: EXTEND).
#[inline(always)]
fn extended(bits: u32, count: u32) -> i32 {
    let bits = bits as i32;
    let is_negative = (bits >> (count - 1)) - 1;
    bits + (is_negative & (1 - (1 << count)))
}

/// Reads the bits of a scan up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Where the marker stands that ends this stretch.
    marker: usize,
    /// The stretch without stuffed bytes, and zeros behind it.
    data: Vec<u8>,
    /// Bytes of the stretch.
    len: usize,
    /// The next byte to take.
    position: usize,
    /// The next bits, the first of them the highest; `count` of them are valid.
    bits: u64,
    count: u32,
}

const DAMAGED: &str = "its data are damaged";

/// What one refilling may read beyond the data.
const PADDING: usize = 8;

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut bits = Self {
            bytes,
            marker: 0,
            data: Vec::new(),
            len: 0,
            position: 0,
            bits: 0,
            count: 0,
        };
        bits.begin(0);
        bits
    }

    /// Begins the stretch of data at `start`: takes the zeros out that follow bytes of ones, so that
    /// reading bits need not look for them.
    fn begin(&mut self, start: usize) {
        self.data.clear();
        let mut place = start;
        loop {
            let rest = &self.bytes[place..];
            let plain = rest.iter().position(|&byte| byte == 0xff);
            let plain = plain.unwrap_or(rest.len());
            self.data.extend_from_slice(&rest[..plain]);
            place += plain;
            match self.bytes.get(place + 1) {
                Some(0) => {
                    self.data.push(0xff);
                    place += 2;
                }
                // Bytes of ones may fill up to a marker.
                Some(0xff) => place += 1,
                Some(_) => break self.marker = place,
                None => break self.marker = self.bytes.len(),
            }
        }
        self.len = self.data.len();
        self.data.extend([0; PADDING]);
        (self.position, self.bits, self.count) = (0, 0, 0);
    }

    /// Whether more bits were used than there were.
    pub(super) fn overran(&self) -> bool {
        8 * self.position as u64 - u64::from(self.count) > 8 * self.len as u64
    }

    /// At least 32 bits are there afterwards, zeros behind the end.
    #[inline(always)]
    pub(super) fn fill(&mut self) {
        if self.count >= 32 {
            return;
        }
        let next = self
            .data
            .get(self.position..)
            .and_then(|data| data.first_chunk());
        let next = next.map_or(0, |&bytes| u64::from_be_bytes(bytes));
        // Bits beyond `count` are those that the next filling brings again.
        self.bits |= next >> self.count;
        self.position += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    #[inline(always)]
    fn peek(&self, count: u32) -> u32 {
        (self.bits >> (64 - count)) as u32
    }

    #[inline(always)]
    fn skip(&mut self, count: u32) {
        self.bits <<= count;
        self.count -= count;
    }

    /// The symbol of the next code.
    #[inline(always)]
    pub(super) fn symbol(&mut self, table: &Huffman) -> Result<u8, &'static str> {
        self.fill();
        let (len, symbol) = table.lookup[self.peek(LOOKUP_BITS) as usize];
        if len != 0 {
            self.skip(u32::from(len));
            return Ok(symbol);
        }
        self.long_symbol(table)
    }

    /// The symbol of a code that is longer than what was looked up.
    #[inline(never)]
    fn long_symbol(&mut self, table: &Huffman) -> Result<u8, &'static str> {
        let code = self.peek(LONGEST);
        let len = (LOOKUP_BITS + 1..=LONGEST).find(|&len| code < table.ends[len as usize]);
        let len = len.ok_or(DAMAGED)?;
        self.skip(len);
        let place = (code >> (LONGEST - len)) as i32 + table.offsets[len as usize];
        usize::try_from(place)
            .ok()
            .and_then(|place| table.symbols.get(place))
            .copied()
            .ok_or(DAMAGED)
    }

    /// The next step through a block. Where its value is 0, and its size is not, the value's bits come
    /// next.
    #[inline(always)]
    pub(super) fn step(&mut self, table: &Huffman, steps: &Steps) -> Result<Step, &'static str> {
        self.fill();
        let mut step = steps[self.peek(STEP_BITS) as usize];
        if step.len != 0 {
            self.skip(u32::from(step.len));
        } else {
            step.symbol = self.long_symbol(table)?;
        }
        Ok(step)
    }

    /// The next `count` bits, 16 at most.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        self.fill();
        // A shift by all 64 bits would be none.
        let bits = (self.bits >> 1 >> (63 - count)) as u32;
        self.skip(count);
        bits
    }

    /// A signed number of `count` bits, 16 at most.
    #[inline(always)]
    pub(super) fn signed(&mut self, count: u32) -> i32 {
        match count {
            0 => 0,
            _ => extended(self.take(count), count),
        }
    }

    /// Moves behind the restart marker that stands here.
    pub(super) fn restart(&mut self) -> Result<(), &'static str> {
        if self.overran() {
            return Err(DAMAGED);
        }
        match self.rest() {
            [0xff, 0xd0..=0xd7, ..] => {
                self.begin(self.marker + 2);
                Ok(())
            }
            _ => Err(DAMAGED),
        }
    }

    /// The bytes from the next marker on.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.marker..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes `0`, `10`, `110` for a run of 2 and 3 bits, the end of a block, and 4 bits.
    fn table() -> Rc<Huffman> {
        let mut counts = [0; 16];
        counts[..3].fill(1);
        Huffman::new(&counts, &[0x23, 0x00, 0x04]).unwrap()
    }

    #[test]
    fn steps_are_codes_and_their_values() {
        let table = table();
        // 0 101, 10, 110 0011, 0 000, then ones that fill the byte.
        let data = [0b0101_1011, 0b0001_1000, 0b0111_1111];
        let mut bits = Bits::new(&data);
        let mut step = || bits.step(&table, table.steps()).unwrap();
        let (first, end, second, third) = (step(), step(), step(), step());
        assert_eq!((first.zeros(), first.size(), first.value), (2, 3, 5));
        assert_eq!((end.symbol, end.value), (0, 0));
        // Bits that begin with 0 are negative: 0011 is 3 - 15, 000 is 0 - 7.
        assert_eq!((second.zeros(), second.value), (0, -12));
        assert_eq!((third.zeros(), third.value), (2, -7));
        assert!(bits.step(&table, table.steps()).is_err());
    }

    #[test]
    fn tables_are_kept_and_told_apart() {
        let again = table();
        assert!(Rc::ptr_eq(&table(), &again));
        let mut counts = [0; 16];
        counts[..3].fill(1);
        let other = Huffman::new(&counts, &[0x23, 0x00, 0x05]).unwrap();
        assert!(!Rc::ptr_eq(&other, &again));
        // As many codes, one of them longer.
        counts[2..4].copy_from_slice(&[0, 1]);
        let longer = Huffman::new(&counts, &[0x23, 0x00, 0x04]).unwrap();
        assert!(!Rc::ptr_eq(&longer, &again));
    }

    #[test]
    fn stuffing_is_taken_out_and_markers_end_the_bits() {
        let data = [0x12, 0xff, 0x00, 0x34, 0xff, 0xff, 0xd1, 0x56, 0xff, 0xd9];
        let mut bits = Bits::new(&data);
        assert_eq!([bits.take(16), bits.take(8)], [0x12ff, 0x34]);
        assert!(!bits.overran());
        bits.restart().unwrap();
        assert_eq!(bits.take(8), 0x56);
        assert!(!bits.overran());
        assert_eq!(bits.take(1), 0);
        assert!(bits.overran() && bits.restart().is_err());
        assert_eq!(bits.rest(), [0xff, 0xd9]);
    }
}
