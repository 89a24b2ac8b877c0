//! Numbers as PyTorch stores them, and tensors as parts of them.

use super::pickle::{Described, Storage};
use super::{Fault, PublishedTensor, Tensors, damaged};

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Half,
    Brain,
    Single,
    Double,
    /// Whole numbers and truth values of so many bytes, which are no weights.
    Other(usize),
}

impl Kind {
    /// By the name of PyTorch's class.
    pub(super) fn of_storage(name: &str) -> Option<Self> {
        Some(match name {
            "HalfStorage" => Self::Half,
            "BFloat16Storage" => Self::Brain,
            "FloatStorage" => Self::Single,
            "DoubleStorage" => Self::Double,
            "LongStorage" => Self::Other(8),
            "IntStorage" => Self::Other(4),
            "ShortStorage" => Self::Other(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" => Self::Other(1),
            _ => return None,
        })
    }

    pub(super) fn of_safetensors(kind: safetensors::Dtype) -> Option<Self> {
        Some(match kind {
            safetensors::Dtype::F16 => Self::Half,
            safetensors::Dtype::BF16 => Self::Brain,
            safetensors::Dtype::F32 => Self::Single,
            safetensors::Dtype::F64 => Self::Double,
            _ => return None,
        })
    }

    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Half | Self::Brain => 2,
            Self::Single => 4,
            Self::Double => 8,
            Self::Other(size) => size,
        }
    }
}

/// Little-endian numbers as f32; none for kinds that are no floats.
pub(super) fn floats(kind: Kind, bytes: &[u8]) -> Vec<f32> {
    match kind {
        Kind::Half => half_floats(bytes),
        Kind::Brain => {
            let (values, _) = bytes.as_chunks::<2>();
            let widened = values
                .iter()
                .map(|&[low, high]| f32::from_le_bytes([0, 0, low, high]));
            widened.collect()
        }
        Kind::Single => {
            let (values, _) = bytes.as_chunks::<4>();
            values.iter().copied().map(f32::from_le_bytes).collect()
        }
        Kind::Double => {
            let (values, _) = bytes.as_chunks::<8>();
            values
                .iter()
                .map(|&value| f64::from_le_bytes(value) as f32)
                .collect()
        }
        Kind::Other(_) => Vec::new(),
    }
}

fn half_floats(bytes: &[u8]) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<2>();
    let widened = values.iter().map(|&value| {
        let bits = u16::from_le_bytes(value);
        let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
        let size = match exponent {
            0 => mantissa * 2f32.powi(-24),
            31 if mantissa == 0.0 => f32::INFINITY,
            31 => f32::NAN,
            _ => (1024.0 + mantissa) * 2f32.powi(exponent - 25),
        };
        if bits >> 15 == 1 { -size } else { size }
    });
    widened.collect()
}

/// The float tensors among those described, their numbers taken from `content`.
pub(super) fn collect<'a>(
    described: Vec<(String, Described)>,
    file: usize,
    content: impl Fn(&Storage) -> Result<&'a [u8], Fault>,
) -> Result<Tensors, Fault> {
    let mut tensors = Tensors::new();
    let mut total = 0usize;
    for (name, tensor) in described {
        let Described {
            storage,
            offset,
            shape,
            strides,
        } = tensor;
        let bytes = content(&storage)?;
        let kind = storage.kind;
        if storage.numbers.checked_mul(kind.size()) != Some(bytes.len()) {
            return damaged(format!(
                "tensor `{name}` has more or fewer numbers than it says"
            ));
        }
        if matches!(kind, Kind::Other(_)) {
            continue;
        }
        let count = shape
            .iter()
            .try_fold(1usize, |count, &side| count.checked_mul(side));
        let end = count.and_then(|count| count.checked_add(offset));
        let end = end.and_then(|end| end.checked_mul(kind.size()));
        let Some((count, end)) = count.zip(end).filter(|(_, end)| *end <= bytes.len()) else {
            return damaged(format!("tensor `{name}` reaches beyond its numbers"));
        };
        // Tensors may share their numbers, but not to fill the memory with copies of them.
        total = total.saturating_add(count);
        if total.saturating_mul(2) > file {
            return damaged("its tensors claim more numbers than it holds");
        }
        if !is_contiguous(&shape, &strides) {
            let reason = format!("tensor `{name}` does not lie in one piece");
            return Err(Fault::Foreign(reason));
        }
        let values = floats(kind, &bytes[offset * kind.size()..end]);
        tensors.insert(name, PublishedTensor { shape, values });
    }
    Ok(tensors)
}

/// Whether the numbers lie one after the other, first axis slowest.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1usize;
    let axes = shape.iter().zip(strides).rev();
    shape.len() == strides.len()
        && axes.into_iter().all(|(&side, &stride)| {
            let fits = side <= 1 || stride == expected;
            expected = expected.saturating_mul(side);
            fits
        })
}
