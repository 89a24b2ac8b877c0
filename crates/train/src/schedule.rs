//! A number as a function of images seen.

use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use std::f64::consts::PI;
use std::fmt;

/// A setting that may change while a run goes on. In a recipe it is a number, or a table:
///
/// ```toml
/// rate = { from = 2e-4, to = 5e-5, over = 1_000_000, shape = "cosine", warm_up = 10_000 }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Schedule {
    /// Always the same.
    Constant(f64),
    /// Moves from one value to another.
    Varying(Varying),
}

/// A value on its way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Varying {
    /// Value after the warm-up.
    pub from: f64,
    /// Value at the end and after it.
    pub to: f64,
    /// Images seen, from the run's beginning, when `to` is reached; in a recipe the whole run unless
    /// it says otherwise.
    pub over: u64,
    /// The way between them.
    pub shape: Shape,
    /// Images in which the value first rises from 0 to `from`, in proportion.
    pub warm_up: u64,
}

/// The way from one value to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// In proportion to the images seen.
    Linear,
    /// Half a cosine wave: slow, fast, slow (Loshchilov and Hutter 2017, without restarts).
    Cosine,
}

impl Schedule {
    /// The value once `seen` images were seen.
    pub fn at(&self, seen: u64) -> f64 {
        let varying = match self {
            Self::Constant(value) => return *value,
            Self::Varying(varying) => varying,
        };
        let Varying {
            from, to, warm_up, ..
        } = *varying;
        if seen < warm_up {
            return from * (seen as f64 / warm_up as f64);
        }
        let way = varying.over.saturating_sub(warm_up).max(1) as f64;
        let share = ((seen - warm_up) as f64 / way).min(1.0);
        match varying.shape {
            Shape::Linear => from + (to - from) * share,
            Shape::Cosine => to + (from - to) * 0.5 * (1.0 + (PI * share).cos()),
        }
    }

    /// The values between which it moves.
    pub fn ends(&self) -> [f64; 2] {
        match self {
            Self::Constant(value) => [*value; 2],
            Self::Varying(varying) => [varying.from, varying.to],
        }
    }
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Self::Constant(value)
    }
}

/// By hand, because an untagged enum could only say that nothing matched.
impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrTable;
        impl<'de> Visitor<'de> for NumberOrTable {
            type Value = Schedule;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number, or a schedule such as { from = 1e-3, to = 1e-4 }")
            }

            fn visit_f64<E>(self, value: f64) -> Result<Schedule, E> {
                Ok(Schedule::Constant(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Schedule, E> {
                Ok(Schedule::Constant(value as f64))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Schedule, E> {
                Ok(Schedule::Constant(value as f64))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Schedule, A::Error> {
                Varying::deserialize(MapAccessDeserializer::new(map)).map(Schedule::Varying)
            }
        }
        deserializer.deserialize_any(NumberOrTable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(shape: Shape) -> Schedule {
        Schedule::Varying(Varying {
            from: 8.0,
            to: 2.0,
            over: 500,
            shape,
            warm_up: 100,
        })
    }

    #[test]
    fn a_schedule_warms_up_then_moves_then_stays() {
        for shape in [Shape::Linear, Shape::Cosine] {
            let schedule = schedule(shape);
            let values = [0, 50, 100, 300, 500, 9000].map(|seen| schedule.at(seen));
            // Half-way both shapes are in the middle; the cosine of f64's pi / 2 is 6e-17.
            let expected = [0.0, 4.0, 8.0, 5.0, 2.0, 2.0];
            for (value, expected) in values.into_iter().zip(expected) {
                assert!((value - expected).abs() < 1e-12, "{shape:?}: {values:?}");
            }
        }
    }

    #[test]
    fn a_cosine_begins_and_ends_slowly() {
        let early = |shape| 8.0 - schedule(shape).at(140);
        assert!(early(Shape::Cosine) < 0.3 * early(Shape::Linear));
        let late = |shape| schedule(shape).at(460) - 2.0;
        assert!(late(Shape::Cosine) < 0.3 * late(Shape::Linear));
    }

    #[test]
    fn a_number_and_a_table_are_both_schedules() {
        #[derive(Deserialize)]
        struct Recipe {
            rate: Schedule,
        }
        let read = |text: &str| toml::from_str::<Recipe>(text).map(|recipe| recipe.rate);
        assert_eq!(read("rate = 2"), Ok(Schedule::Constant(2.0)));
        let table = "rate = { from = 8, to = 2.0, over = 500, shape = \"cosine\", warm_up = 100 }";
        assert_eq!(read(table), Ok(schedule(Shape::Cosine)));
        let error = read("rate = \"fast\"").unwrap_err();
        assert!(error.message().contains("such as { from"), "{error}");
    }
}
