//! Bits and Huffman codes (ITU-T T.81, annexes C and F).

/// A table of Huffman codes.
pub(super) struct Huffman {
    /// For the next bits, `LOOKUP_BITS` of them: length of the code and symbol; length 0 where the
    /// code is longer.
    lookup: Vec<(u8, u8)>,
    /// For each length: one more than the largest code, aligned left in 17 bits.
    ends: [u32; 17],
    /// For each length: what to add to a code to find its symbol.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

const LOOKUP_BITS: u32 = 9;
const LONGEST: u32 = 16;

impl Huffman {
    /// The codes of which `counts[i]` are `i + 1` bits long, in the order of their symbols.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, &'static str> {
        let mut table = Self {
            lookup: vec![(0, 0); 1 << LOOKUP_BITS],
            ends: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
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
}

/// Reads the bits of a scan up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
    /// The next bits; the lowest `count` of them are valid.
    bits: u64,
    count: u32,
    /// Zero bits that were appended behind the data.
    padding: u32,
}

const DAMAGED: &str = "its data are damaged";

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            bits: 0,
            count: 0,
            padding: 0,
        }
    }

    /// Whether more bits were used than there were.
    pub(super) fn overran(&self) -> bool {
        self.count < self.padding
    }

    /// At least 32 bits are there afterwards, zeros behind the end.
    #[inline]
    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.bytes.get(self.position) {
                Some(0xff) => match self.bytes.get(self.position + 1) {
                    Some(0) => {
                        self.position += 2;
                        0xff
                    }
                    Some(0xff) => {
                        self.position += 1;
                        continue;
                    }
                    _ => self.pad(),
                },
                Some(&byte) => {
                    self.position += 1;
                    byte
                }
                None => self.pad(),
            };
            self.bits = self.bits << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    #[cold]
    fn pad(&mut self) -> u8 {
        self.padding = self.padding.saturating_add(8);
        0
    }

    #[inline]
    fn peek(&self, count: u32) -> u32 {
        (self.bits >> (self.count - count)) as u32 & ((1 << count) - 1)
    }

    /// The symbol of the next code.
    #[inline]
    pub(super) fn symbol(&mut self, table: &Huffman) -> Result<u8, &'static str> {
        if self.count < 32 {
            self.fill();
        }
        let (len, symbol) = table.lookup[self.peek(LOOKUP_BITS) as usize];
        if len != 0 {
            self.count -= u32::from(len);
            return Ok(symbol);
        }
        let code = self.peek(LONGEST);
        let len = (LOOKUP_BITS + 1..=LONGEST).find(|&len| code < table.ends[len as usize]);
        let len = len.ok_or(DAMAGED)?;
        self.count -= len;
        let place = (code >> (LONGEST - len)) as i32 + table.offsets[len as usize];
        usize::try_from(place)
            .ok()
            .and_then(|place| table.symbols.get(place))
            .copied()
            .ok_or(DAMAGED)
    }

    /// The next `count` bits, 16 at most.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        if self.count < 32 {
            self.fill();
        }
        let bits = self.peek(count);
        self.count -= count;
        bits
    }

    /// A signed number of `count` bits, 16 at most (T.81, F.2.2.1: EXTEND).
    #[inline]
    pub(super) fn signed(&mut self, count: u32) -> i32 {
        if count == 0 {
            return 0;
        }
        let bits = self.take(count) as i32;
        match bits < 1 << (count - 1) {
            true => bits - (1 << count) + 1,
            false => bits,
        }
    }

    /// Moves behind the restart marker that stands here.
    pub(super) fn restart(&mut self) -> Result<(), &'static str> {
        if self.overran() {
            return Err(DAMAGED);
        }
        (self.bits, self.count, self.padding) = (0, 0, 0);
        match self.rest() {
            [0xff, 0xd0..=0xd7, ..] => {
                self.position = self.bytes.len() - self.rest().len() + 2;
                Ok(())
            }
            _ => Err(DAMAGED),
        }
    }

    /// The bytes from the next marker on.
    pub(super) fn rest(&self) -> &'a [u8] {
        let behind = &self.bytes[self.position.min(self.bytes.len())..];
        let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff);
        match behind.windows(2).position(is_marker) {
            Some(place) => &behind[place..],
            None => &[],
        }
    }
}
