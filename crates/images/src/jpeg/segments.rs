//! The segments of a JPEG file: its headers and tables (ITU-T T.81, annex B).

use std::rc::Rc;

use super::entropy::Huffman;

/// How a frame's samples are laid out and coded.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
}

/// One plane of samples.
#[derive(Clone)]
pub(super) struct Component {
    id: u8,
    /// Samples beside and above each other where the most detailed component has the frame's most.
    pub(super) across: usize,
    pub(super) down: usize,
    pub(super) quantisation: usize,
}

impl Frame {
    /// The largest `across` and `down` of all components.
    pub(super) fn most(&self) -> (usize, usize) {
        let across = self.components.iter().map(|c| c.across).max().unwrap_or(1);
        let down = self.components.iter().map(|c| c.down).max().unwrap_or(1);
        (across, down)
    }
}

/// What a scan holds.
pub(super) struct Scan {
    /// For each component its place in the frame, its table for DC and its table for AC.
    pub(super) components: Vec<(usize, usize, usize)>,
    /// The first and the last coefficient, in zigzag order.
    pub(super) first: usize,
    pub(super) last: usize,
    /// The bit position that was sent before (0: none), and the one sent now.
    pub(super) high: u32,
    pub(super) low: u32,
}

/// What the samples mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    Gray,
    Rgb,
    YCbCr,
    /// Inverted, as Adobe writes it.
    Cmyk,
    /// CMYK whose first three are coded like YCbCr.
    Ycck,
}

/// A segment of interest.
pub(super) enum Segment<'a> {
    Exif(&'a [u8]),
    /// Tables, which are kept, or what does not matter.
    Tables,
    Frame(Frame),
    Scan(Scan),
    End,
}

/// Walks through a file, remembering its tables.
pub(super) struct Segments<'a> {
    file: &'a [u8],
    position: usize,
    ended: bool,
    frame: Option<Frame>,
    /// In natural order.
    pub(super) quantisation: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Rc<Huffman>>; 4],
    pub(super) ac: [Option<Rc<Huffman>>; 4],
    /// Units between restart markers; 0 without any.
    pub(super) restart: usize,
    jfif: bool,
    adobe: Option<u8>,
}

/// The places in an 8x8 block of the coefficients in the order in which they are sent.
pub(super) const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

const CUT: &str = "a header is cut short";

impl<'a> Segments<'a> {
    /// At the first segment of a file, whose start marker was seen.
    pub(super) fn new(file: &'a [u8]) -> Self {
        Self {
            file,
            position: 2,
            ended: false,
            frame: None,
            quantisation: [None; 4],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            restart: 0,
            jfif: false,
            adobe: None,
        }
    }

    /// Everything behind the last segment.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.file.get(self.position..).unwrap_or_default()
    }

    /// Goes on at the first marker in `rest`.
    pub(super) fn skip_to(&mut self, rest: &[u8]) {
        self.position = self.file.len() - rest.len();
    }

    /// Whether the walk ended at the marker that ends a file, not at the end of the bytes.
    pub(super) fn has_end_marker(&self) -> bool {
        self.ended
    }

    /// Reads the next segment.
    pub(super) fn next(&mut self) -> Result<Segment<'a>, &'static str> {
        let Some(code) = self.marker() else {
            return Ok(Segment::End);
        };
        match code {
            0xd9 => {
                self.ended = true;
                return Ok(Segment::End);
            }
            // Restart markers and markers without content.
            0x01 | 0xd0..=0xd8 => return Ok(Segment::Tables),
            _ => {}
        }
        let len = match self.rest() {
            [high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => return Err(CUT),
        };
        let content = self.rest().get(2..len).ok_or(CUT)?;
        self.position += len;
        match code {
            0xc0..=0xc2 => return self.frame(content, code == 0xc2).map(Segment::Frame),
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err("it is coded in an unusual way (lossless, hierarchical or arithmetic)");
            }
            0xda => return self.scan(content).map(Segment::Scan),
            0xe1 => {
                if let Some(exif) = content.strip_prefix(b"Exif\0\0") {
                    return Ok(Segment::Exif(exif));
                }
            }
            0xc4 => self.huffman(content)?,
            0xdb => self.quantisation(content)?,
            0xdd => match content {
                [high, low, ..] => self.restart = usize::from(u16::from_be_bytes([*high, *low])),
                _ => return Err(CUT),
            },
            0xe0 => self.jfif |= content.starts_with(b"JFIF\0"),
            0xee if content.starts_with(b"Adobe") => self.adobe = content.get(11).copied(),
            _ => {}
        }
        Ok(Segment::Tables)
    }

    /// Moves behind the next marker and returns its code.
    fn marker(&mut self) -> Option<u8> {
        loop {
            match self.rest() {
                // Any number of fill bytes may stand before a marker.
                [0xff, code, ..] if !matches!(code, 0 | 0xff) => {
                    self.position += 2;
                    return Some(*code);
                }
                [_, _, ..] => self.position += 1,
                _ => return None,
            }
        }
    }

    fn frame(&mut self, content: &[u8], progressive: bool) -> Result<Frame, &'static str> {
        let [bits, h1, h0, w1, w0, count, rest @ ..] = content else {
            return Err(CUT);
        };
        if *bits != 8 {
            return Err("its samples do not have 8 bits");
        }
        let (height, width) = (
            u16::from_be_bytes([*h1, *h0]),
            u16::from_be_bytes([*w1, *w0]),
        );
        if width == 0 || height == 0 {
            return Err("its header tells no size");
        }
        let components: Vec<Component> = rest
            .chunks_exact(3)
            .take(usize::from(*count))
            .map(|c| Component {
                id: c[0],
                across: usize::from(c[1] >> 4),
                down: usize::from(c[1] & 15),
                quantisation: usize::from(c[2] & 3),
            })
            .collect();
        if components.len() != usize::from(*count) || !matches!(components.len(), 1 | 3 | 4) {
            return Err("it has neither one, three nor four components");
        }
        let mut frame = Frame {
            width,
            height,
            progressive,
            components,
        };
        if frame
            .components
            .iter()
            .any(|c| !(1..=4).contains(&c.across) || !(1..=4).contains(&c.down))
        {
            return Err("its components are sampled in an impossible way");
        }
        if let [only] = &mut frame.components[..] {
            // A single component is never subsampled, whatever its header says.
            (only.across, only.down) = (1, 1);
        }
        let (across, down) = frame.most();
        if frame
            .components
            .iter()
            .any(|c| across % c.across != 0 || down % c.down != 0)
        {
            return Err("its components are sampled in an unusual way");
        }
        self.frame = Some(frame.clone());
        Ok(frame)
    }

    fn scan(&self, content: &[u8]) -> Result<Scan, &'static str> {
        let frame = self.frame.as_ref().ok_or("a scan comes before the frame")?;
        let (&count, rest) = content.split_first().ok_or(CUT)?;
        let count = usize::from(count);
        let [first, last, bits] = *rest.get(2 * count..2 * count + 3).ok_or(CUT)? else {
            return Err(CUT);
        };
        let mut components: Vec<(usize, usize, usize)> = Vec::new();
        for pair in rest[..2 * count].chunks_exact(2) {
            let place = frame
                .components
                .iter()
                .position(|component| component.id == pair[0]);
            let place = place.ok_or("a scan names an unknown component")?;
            if components.iter().any(|&(other, ..)| other == place) {
                return Err("a scan names a component twice");
            }
            components.push((
                place,
                usize::from(pair[1] >> 4 & 3),
                usize::from(pair[1] & 3),
            ));
        }
        let (high, low) = (u32::from(bits >> 4), u32::from(bits & 15));
        let scan = match frame.progressive {
            true => Scan {
                components,
                first: first.into(),
                last: last.into(),
                high,
                low,
            },
            false => Scan {
                components,
                first: 0,
                last: 63,
                high: 0,
                low: 0,
            },
        };
        let is_possible = !scan.components.is_empty()
            && scan.first <= scan.last
            && scan.last <= 63
            && scan.low <= 13
            && (scan.high == 0 || scan.high == scan.low + 1)
            // Progressive scans send DC alone, or AC of one component.
            && (!frame.progressive || (scan.first == 0) == (scan.last == 0))
            && (scan.first == 0 || scan.components.len() == 1);
        is_possible
            .then_some(scan)
            .ok_or("the header of a scan makes no sense")
    }

    fn quantisation(&mut self, mut content: &[u8]) -> Result<(), &'static str> {
        while let Some((&kind, rest)) = content.split_first() {
            let wide = kind >> 4 != 0;
            let (values, rest) = rest
                .split_at_checked(if wide { 128 } else { 64 })
                .ok_or(CUT)?;
            let mut table = [0; 64];
            for (place, &natural) in ZIGZAG.iter().enumerate() {
                table[natural] = match wide {
                    true => u16::from_be_bytes([values[2 * place], values[2 * place + 1]]),
                    false => values[place].into(),
                };
            }
            self.quantisation[usize::from(kind & 3)] = Some(table);
            content = rest;
        }
        Ok(())
    }

    fn huffman(&mut self, mut content: &[u8]) -> Result<(), &'static str> {
        while let Some((&kind, rest)) = content.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(CUT)?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or(CUT)?;
            let table = Huffman::new(counts, symbols)?;
            match kind >> 4 {
                0 => self.dc[usize::from(kind & 3)] = Some(table),
                _ => self.ac[usize::from(kind & 3)] = Some(table),
            }
            content = rest;
        }
        Ok(())
    }

    /// What the samples of a frame mean: told by markers of the JFIF and Adobe conventions, else
    /// guessed from the names of the components as the Independent JPEG Group does.
    pub(super) fn colours(&self, frame: &Frame) -> Colours {
        let ids: Vec<u8> = frame
            .components
            .iter()
            .map(|component| component.id)
            .collect();
        match (&ids[..], self.adobe) {
            ([_], _) => Colours::Gray,
            ([_, _, _, _], Some(2)) => Colours::Ycck,
            ([_, _, _, _], _) => Colours::Cmyk,
            (_, _) if self.jfif => Colours::YCbCr,
            (_, Some(0)) => Colours::Rgb,
            (b"RGB", None) => Colours::Rgb,
            (_, _) => Colours::YCbCr,
        }
    }
}
