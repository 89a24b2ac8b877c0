//! Trompe as a library: trained models that make images.
//!
//! A [`Session`] is a snapshot on a device. It makes images from seeds, draws latents, walks between
//! them, and, where the model is an autoencoder, finds the latents of images.
//!
//! ```no_run
//! use std::path::Path;
//! use trompe::{Device, Grid, Session, save};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A snapshot file, or the directory of a run.
//! let session = Session::open(Path::new("runs/0001-vae-digits"), &Device::flex())?;
//!
//! // Seed 7 gives the same image today, tomorrow, and in any company.
//! let images = session.generate(&[0, 1, 2, 7])?;
//! save(Path::new("four.png"), &Grid::default().render(&images)?, &[])?;
//! # Ok(())
//! # }
//! ```

mod device;
mod error;
mod locate;
mod session;

pub use burn::tensor::Device;
pub use device::{DeviceError, DeviceName};
pub use error::Error;
pub use locate::locate;
pub use session::Session;
pub use trompe_images::{
    Channels, Grid, ImageError, ImageSpec, Pixels, encode_apng, encode_gif, encode_png, save,
};
pub use trompe_latent::{Ends, path, sample, slerp, traverse};
pub use trompe_models::ModelConfig;
pub use trompe_snapshots::{Description, Snapshot, SnapshotError, write_atomically};
