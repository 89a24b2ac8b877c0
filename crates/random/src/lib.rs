//! Where every random number of Trompe comes from.
//!
//! A [`Stream`] is named by three things: the seed of the run, a purpose (`"latents"`, `"posterior noise"`) and an
//! index (usually the number of the image it is for). The same three names give the same numbers, bit for bit, on every
//! platform, whatever was drawn before, elsewhere, or by another thread. Underneath lies ChaCha, a counter-based
//! generator: its key is a hash of seed and purpose, its nonce the index, its counter the position in the stream.
//! [`Permutation`] shuffles any number of items without a list of them.

mod normal;
mod permutation;
mod stream;

pub use permutation::Permutation;
pub use stream::Stream;
