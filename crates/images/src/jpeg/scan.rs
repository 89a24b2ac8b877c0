//! The coefficients that scans send (ITU-T T.81, annexes F and G).

use super::entropy::{Bits, Huffman};
use super::picture::Plane;
use super::segments::{Component, Frame, Scan, Segments, ZIGZAG};
use super::transform::inverse_transform;
use crate::widest::widest;

/// All coefficients of a frame, or the samples that they already became.
pub(super) struct Coefficients {
    frame: Frame,
    components: Vec<Blocks>,
}

/// The blocks of one component.
struct Blocks {
    /// Blocks that the component has, and blocks that are sent when components are interleaved.
    width: usize,
    height: usize,
    sent_width: usize,
    sent_height: usize,
    /// Progressive: natural order, 64 for each block.
    coefficients: Vec<i16>,
    plane: Plane,
    seen: bool,
}

/// What is remembered from block to block.
#[derive(Default)]
struct Memory {
    dc: [i32; 4],
    /// Blocks that are still to come without new coefficients.
    empty_run: u32,
}

const DAMAGED: &str = "its data are damaged";
const CUT: &str = "its data end before its picture does";
const NO_TABLE: &str = "a table is missing";

impl Coefficients {
    pub(super) fn new(frame: Frame) -> Self {
        let (across, down) = frame.most();
        let (width, height) = (usize::from(frame.width), usize::from(frame.height));
        let units = (width.div_ceil(8 * across), height.div_ceil(8 * down));
        let components = frame.components.iter().map(|component| {
            let samples = (
                (width * component.across).div_ceil(across),
                (height * component.down).div_ceil(down),
            );
            let (sent_width, sent_height) = (units.0 * component.across, units.1 * component.down);
            let stored = if frame.progressive {
                sent_width * sent_height * 64
            } else {
                0
            };
            Blocks {
                width: samples.0.div_ceil(8),
                height: samples.1.div_ceil(8),
                sent_width,
                sent_height,
                coefficients: vec![0; stored],
                plane: Plane {
                    width: samples.0,
                    height: samples.1,
                    stride: sent_width * 8,
                    across: across / component.across,
                    down: down / component.down,
                    samples: vec![0; sent_width * sent_height * 64],
                },
                seen: false,
            }
        });
        Self {
            components: components.collect(),
            frame,
        }
    }

    pub(super) fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Whether every component was sent.
    pub(super) fn is_complete(&self) -> bool {
        self.components.iter().all(|blocks| blocks.seen)
    }

    /// Reads the data of a scan and returns what lies behind them.
    pub(super) fn read_scan<'a>(
        &mut self,
        scan: &Scan,
        segments: &Segments<'a>,
    ) -> Result<&'a [u8], &'static str> {
        widest(
            #[inline(always)]
            || self.read_data(scan, segments),
        )
    }

    #[inline(always)]
    fn read_data<'a>(
        &mut self,
        scan: &Scan,
        segments: &Segments<'a>,
    ) -> Result<&'a [u8], &'static str> {
        let mut bits = Bits::new(segments.rest());
        let mut memory = Memory::default();
        // A component on its own is sent block by block; several together in units in which each
        // has as many blocks as it is sampled.
        let alone = scan.components.len() == 1;
        let first = &self.components[scan.components[0].0];
        let layout = &self.frame.components[scan.components[0].0];
        let (columns, rows) = match alone {
            true => (first.width, first.height),
            false => (
                first.sent_width / layout.across,
                first.sent_height / layout.down,
            ),
        };
        for unit in 0..columns * rows {
            if segments.restart > 0 && unit > 0 && unit % segments.restart == 0 {
                bits.restart()?;
                memory = Memory::default();
            }
            let (row, column) = (unit / columns, unit % columns);
            for &(place, dc, ac) in &scan.components {
                let &Component { across, down, .. } = &self.frame.components[place];
                let (across, down) = if alone { (1, 1) } else { (across, down) };
                for inner in 0..across * down {
                    let block = Place {
                        component: place,
                        row: row * down + inner / across,
                        column: column * across + inner % across,
                    };
                    let tables = (segments.dc[dc].as_deref(), segments.ac[ac].as_deref());
                    self.read_block(&mut bits, scan, tables, &mut memory, block, segments)?;
                }
            }
            if bits.overran() {
                return Err(CUT);
            }
        }
        for &(place, ..) in &scan.components {
            self.components[place].seen |= scan.first == 0;
        }
        Ok(bits.rest())
    }

    #[inline(always)]
    fn read_block(
        &mut self,
        bits: &mut Bits,
        scan: &Scan,
        (dc, ac): (Option<&Huffman>, Option<&Huffman>),
        memory: &mut Memory,
        place: Place,
        segments: &Segments,
    ) -> Result<(), &'static str> {
        let quantisation = self.frame.components[place.component].quantisation;
        let blocks = &mut self.components[place.component];
        let block = place.row * blocks.sent_width + place.column;
        if !self.frame.progressive {
            let mut values = [0; 64];
            let previous = &mut memory.dc[place.component];
            let last = sequential(
                bits,
                dc.ok_or(NO_TABLE)?,
                ac.ok_or(NO_TABLE)?,
                previous,
                &mut values,
            )?;
            let table = segments.quantisation[quantisation]
                .as_ref()
                .ok_or(NO_TABLE)?;
            inverse_transform(
                &values,
                table,
                last == 0,
                blocks.plane.block_mut(place.row, place.column),
            );
            return Ok(());
        }
        let values = &mut blocks.coefficients[block * 64..][..64];
        match (scan.first, scan.high) {
            (0, 0) => {
                let size = u32::from(bits.symbol(dc.ok_or(NO_TABLE)?)?);
                let previous = &mut memory.dc[place.component];
                *previous = previous.wrapping_add(bits.signed(size.min(16)));
                values[0] = (*previous << scan.low) as i16;
            }
            (0, _) => values[0] |= (bits.take(1) << scan.low) as i16,
            (_, 0) => progressive(
                bits,
                ac.ok_or(NO_TABLE)?,
                scan,
                &mut memory.empty_run,
                values,
            )?,
            _ => refine(
                bits,
                ac.ok_or(NO_TABLE)?,
                scan,
                &mut memory.empty_run,
                values,
            )?,
        }
        Ok(())
    }

    /// The samples of every component.
    pub(super) fn into_planes(self, segments: &Segments) -> Result<Vec<Plane>, &'static str> {
        let mut planes = Vec::new();
        for (blocks, component) in self.components.into_iter().zip(&self.frame.components) {
            let Blocks {
                mut plane,
                coefficients,
                sent_width,
                ..
            } = blocks;
            if self.frame.progressive {
                let table = segments.quantisation[component.quantisation]
                    .as_ref()
                    .ok_or(NO_TABLE)?;
                widest(
                    #[inline(always)]
                    || {
                        for (block, values) in coefficients.as_chunks::<64>().0.iter().enumerate() {
                            let flat = values[1..].iter().all(|&value| value == 0);
                            let target = plane.block_mut(block / sent_width, block % sent_width);
                            inverse_transform(values, table, flat, target);
                        }
                    },
                );
            }
            planes.push(plane);
        }
        Ok(planes)
    }
}

/// Where a block belongs.
struct Place {
    component: usize,
    row: usize,
    column: usize,
}

/// A block with all its coefficients (T.81, F.2.2). Returns the place of the last one in the order
/// of sending.
#[inline(always)]
fn sequential(
    bits: &mut Bits,
    dc: &Huffman,
    ac: &Huffman,
    previous: &mut i32,
    values: &mut [i16; 64],
) -> Result<usize, &'static str> {
    let size = u32::from(bits.symbol(dc)?);
    *previous = previous.wrapping_add(bits.signed(size.min(16)));
    values[0] = *previous as i16;
    let steps = ac.steps();
    let (mut place, mut last) = (1, 0);
    while place < 64 {
        let step = bits.step(ac, steps)?;
        let value = match (step.value, step.size()) {
            (0, 0) if step.zeros() < 15 => break,
            (0, 0) => {
                place += 16;
                continue;
            }
            // Code and value together are 31 bits at most: no need to fill again.
            (0, size) => bits.signed(size) as i16,
            (value, _) => value,
        };
        place += step.zeros();
        let Some(&natural) = ZIGZAG.get(place) else {
            return Err(DAMAGED);
        };
        // The mask only tells the compiler what holds.
        values[natural & 63] = value;
        last = place;
        place += 1;
    }
    Ok(last)
}

/// The first bits of some coefficients of a block (T.81, G.1.2.2).
fn progressive(
    bits: &mut Bits,
    ac: &Huffman,
    scan: &Scan,
    empty_run: &mut u32,
    values: &mut [i16],
) -> Result<(), &'static str> {
    if *empty_run > 0 {
        *empty_run -= 1;
        return Ok(());
    }
    let mut place = scan.first;
    while place <= scan.last {
        let symbol = bits.symbol(ac)?;
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if zeros < 15 {
                *empty_run = (1 << zeros) - 1 + bits.take(zeros);
                break;
            }
            place += 16;
            continue;
        }
        place += zeros as usize;
        if place > scan.last {
            return Err(DAMAGED);
        }
        values[ZIGZAG[place]] = (bits.signed(size) << scan.low) as i16;
        place += 1;
    }
    Ok(())
}

/// One more bit of coefficients that were sent before, and new ones between them (T.81, G.1.2.3).
fn refine(
    bits: &mut Bits,
    ac: &Huffman,
    scan: &Scan,
    empty_run: &mut u32,
    values: &mut [i16],
) -> Result<(), &'static str> {
    let bit = 1i16 << scan.low;
    let correct = |bits: &mut Bits, value: &mut i16| {
        if bits.take(1) == 1 && *value & bit == 0 {
            *value = value.wrapping_add(if *value > 0 { bit } else { -bit });
        }
    };
    let mut place = scan.first;
    if *empty_run == 0 {
        while place <= scan.last {
            let symbol = bits.symbol(ac)?;
            let (mut zeros, size) = (u32::from(symbol >> 4), symbol & 15);
            let new = match size {
                0 if zeros < 15 => {
                    *empty_run = (1 << zeros) + bits.take(zeros);
                    break;
                }
                0 => 0,
                1 if bits.take(1) == 1 => bit,
                1 => -bit,
                _ => return Err(DAMAGED),
            };
            while place <= scan.last {
                let value = &mut values[ZIGZAG[place]];
                place += 1;
                if *value != 0 {
                    correct(bits, value);
                } else if zeros == 0 {
                    *value = new;
                    break;
                } else {
                    zeros -= 1;
                }
            }
        }
    }
    if *empty_run > 0 {
        for place in place..=scan.last {
            let value = &mut values[ZIGZAG[place]];
            if *value != 0 {
                correct(bits, value);
            }
        }
        *empty_run -= 1;
    }
    Ok(())
}
