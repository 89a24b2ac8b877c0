//! A model on a device.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use trompe_images::{ImageSpec, Pixels, Scale, ValueRange};
use trompe_latent::{Ends, Sensitivity, path, sample, traverse};
use trompe_layers::{Boundary, Pass};
use trompe_models::{Autoencoder, Generator, Model, ModelConfig, Vae, to_pixels, to_tensor};
use trompe_snapshots::{Description, Snapshot};

use crate::Error;
use crate::locate::locate;

/// Images that go through the networks at once. Always this many, the last ones filled up with blanks:
/// matrix products of different heights may round differently, and an image is to be the same in any
/// company.
const BATCH: usize = 16;

/// Latents around which [`Session::traverse`] measures what changes images.
const ANCHORS: u64 = 4;

/// A snapshot on a device, ready to make images.
#[derive(Debug)]
pub struct Session {
    model: Model,
    description: Description,
    digest: String,
    device: Device,
}

impl Session {
    /// Opens a snapshot file, or a run: its best snapshot, else its latest.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::NoSnapshot`], [`Error::Snapshot`].
    pub fn open(path: &Path, device: &Device) -> Result<Self, Error> {
        let snapshot = Snapshot::open(&locate(path)?)?;
        Ok(Self {
            model: snapshot.model(device)?,
            description: snapshot.description().clone(),
            digest: snapshot.digest().to_owned(),
            device: device.clone(),
        })
    }

    /// The networks.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Where they are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What the snapshot says about itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// A hash of description and weights, the same for the same model wherever it lies.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Size and channels of the images.
    pub fn image(&self) -> ImageSpec {
        self.description.image
    }

    /// Whether the lower edge of each image meets its upper one, and the right one the left.
    pub fn wraps(&self) -> [bool; 2] {
        match self.description.model.boundary() {
            Boundary::Zero => [false, false],
            Boundary::WrapX => [false, true],
            Boundary::WrapXy => [true, true],
        }
    }

    /// Entries of one latent.
    pub fn latent_entries(&self) -> usize {
        self.description.model.latent()
    }

    /// One image for each seed.
    ///
    /// An image depends on the model and its seed alone, bit for bit on one device.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub fn generate(&self, seeds: &[u64]) -> Result<Vec<Pixels>, Error> {
        self.decode(&self.sample(seeds, 1.0))
    }

    /// The latent of each seed, at a temperature (see [`sample`]).
    pub fn sample(&self, seeds: &[u64], temperature: f32) -> Vec<Vec<f32>> {
        let entries = self.latent_entries();
        seeds
            .iter()
            .map(|&seed| sample(seed, entries, temperature))
            .collect()
    }

    /// The image of each latent: for a VAE the mean of its likelihood, not a draw from it.
    ///
    /// # Errors
    /// [`Error::LatentLength`], [`Error::NotFinite`].
    pub fn decode(&self, latents: &[Vec<f32>]) -> Result<Vec<Pixels>, Error> {
        let range = self.description.model.value_range();
        self.draw(latents, |images| to_pixels(images, self.image(), range))
    }

    /// The image of each latent as numbers in [-1, 1], not rounded to bytes: for measuring differences
    /// that are smaller.
    ///
    /// # Shapes
    /// - returns: for each latent `[height, width, channels]`
    ///
    /// # Errors
    /// [`Error::LatentLength`], [`Error::NotFinite`].
    pub fn decode_values(&self, latents: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, Error> {
        let is_unit = self.description.model.value_range() == ValueRange::Unit;
        self.draw(latents, |images| {
            let images = images.permute([0, 2, 3, 1]);
            let values = rows(images.flatten(1, 3), self.image().samples());
            let signed = |value: f32| if is_unit { 2.0 * value - 1.0 } else { value };
            values
                .map(|values| values.into_iter().map(signed).collect())
                .collect()
        })
    }

    /// The latent of each image: the mean of its posterior.
    ///
    /// # Errors
    /// [`Error::NoEncoder`], [`Error::ImageKind`].
    pub fn encode(&self, images: &[Pixels]) -> Result<Vec<Vec<f32>>, Error> {
        let vae = self.autoencoder()?;
        let spec = self.image();
        if let Some(other) = images.iter().find(|image| image.spec() != spec) {
            return Err(Error::ImageKind {
                found: other.spec(),
                expected: spec,
            });
        }
        let scale = Scale::new(
            vae.observation.likelihood().value_range(),
            self.description.levels,
        );
        let mut latents = Vec::with_capacity(images.len());
        for images in images.chunks(BATCH) {
            let mut bytes: Vec<u8> = images.iter().flat_map(Pixels::bytes).copied().collect();
            bytes.resize(BATCH * spec.samples(), 0);
            let batch = to_tensor(&bytes, spec, &scale, &self.device);
            let posterior = vae.encode(batch, &mut Pass::inference());
            latents.extend(rows(posterior.mean, self.latent_entries()).take(images.len()));
        }
        Ok(latents)
    }

    /// Each image through the encoder and back through the decoder.
    ///
    /// # Errors
    /// [`Error::NoEncoder`], [`Error::ImageKind`].
    pub fn reconstruct(&self, images: &[Pixels]) -> Result<Vec<Pixels>, Error> {
        self.decode(&self.encode(images)?)
    }

    /// `frames` images on the way from one latent to the next (see [`path`]).
    ///
    /// # Errors
    /// [`Error::LatentLength`].
    ///
    /// # Panics
    /// Without stations.
    pub fn interpolate(
        &self,
        stations: &[Vec<f32>],
        frames: usize,
        ends: Ends,
    ) -> Result<Vec<Pixels>, Error> {
        for station in stations {
            self.check_latent(station)?;
        }
        self.decode(&path(stations, frames, ends))
    }

    /// For each of the `directions` that change images most, one row of `steps` images along it,
    /// through `base`, from `-range` to `range` standard deviations of the prior.
    ///
    /// The directions of a VAE are the axes of its latent, those of a GAN are principal directions
    /// (see [`Sensitivity`]); there are no more of them than a latent has entries.
    ///
    /// # Errors
    /// [`Error::LatentLength`].
    pub fn traverse(
        &self,
        base: &[f32],
        directions: usize,
        range: f32,
        steps: usize,
    ) -> Result<Vec<Vec<Pixels>>, Error> {
        self.check_latent(base)?;
        let anchors = self.sample(&(0..ANCHORS).collect::<Vec<_>>(), 1.0);
        let sensitivity = Sensitivity::measure(&anchors, |latents| {
            self.draw(latents, |images| {
                rows(images.flatten(1, 3), self.image().samples()).collect()
            })
        })?;
        let ordered = match self.description.model {
            ModelConfig::Vae(_) => sensitivity.axes(),
            ModelConfig::Gan(_) => sensitivity.principal_directions(),
        };
        ordered
            .iter()
            .take(directions)
            .map(|direction| self.decode(&traverse(base, direction, range, steps)))
            .collect()
    }

    /// What `finish` makes of the images of each latent, batch by batch.
    fn draw<T>(
        &self,
        latents: &[Vec<f32>],
        finish: impl Fn(Tensor<4>) -> Vec<T>,
    ) -> Result<Vec<T>, Error> {
        let entries = self.latent_entries();
        let mut drawn = Vec::with_capacity(latents.len());
        for latents in latents.chunks(BATCH) {
            let mut values = Vec::with_capacity(BATCH * entries);
            for latent in latents {
                self.check_latent(latent)?;
                values.extend_from_slice(latent);
            }
            values.resize(BATCH * entries, 0.0);
            let data = TensorData::new(values, [BATCH, entries]);
            let images = self.forward(Tensor::from_data(data, (&self.device, DType::F32)));
            // Bytes would hide it: NaN becomes black.
            if !images.clone().is_finite().all().into_scalar::<bool>() {
                return Err(Error::NotFinite);
            }
            drawn.extend(finish(images).into_iter().take(latents.len()));
        }
        Ok(drawn)
    }

    /// # Shapes
    /// - latents: `[batch, entries]`
    /// - returns: `[batch, channels, height, width]` in the model's value range
    fn forward(&self, latents: Tensor<2>) -> Tensor<4> {
        let mut pass = Pass::inference();
        match &self.model {
            Model::Vae(vae) => vae.mean_image(latents, &mut pass),
            Model::Gan(gan) => gan.generator.generate(latents, &mut pass),
        }
    }

    fn autoencoder(&self) -> Result<&Vae, Error> {
        match &self.model {
            Model::Vae(vae) => Ok(vae),
            Model::Gan(_) => Err(Error::NoEncoder),
        }
    }

    fn check_latent(&self, latent: &[f32]) -> Result<(), Error> {
        let (found, expected) = (latent.len(), self.latent_entries());
        if found != expected {
            return Err(Error::LatentLength { found, expected });
        }
        Ok(())
    }
}

/// The rows of a matrix on the host.
fn rows(matrix: Tensor<2>, width: usize) -> impl Iterator<Item = Vec<f32>> {
    let values: Vec<f32> = matrix.into_data().iter::<f32>().collect();
    let rows: Vec<Vec<f32>> = values
        .chunks_exact(width.max(1))
        .map(<[f32]>::to_vec)
        .collect();
    rows.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trompe_images::{Channels, Levels};
    use trompe_layers::Init;
    use trompe_models::{
        DiscriminatorConfig, GanConfig, GeneratorConfig, Likelihood, SharedSigma, Sigma, VaeConfig,
        VaeNetwork,
    };

    fn families() -> [ModelConfig; 4] {
        let vae = |likelihood, network| {
            ModelConfig::Vae(VaeConfig {
                latent: 6,
                likelihood,
                network,
            })
        };
        let gan = |generator, discriminator| {
            ModelConfig::Gan(GanConfig {
                latent: 6,
                generator,
                discriminator,
                boundary: trompe_models::ImageBoundary::Zero,
            })
        };
        [
            vae(Likelihood::Bernoulli, VaeNetwork::Mlp { hidden: vec![30] }),
            vae(
                Likelihood::Gaussian {
                    sigma: Sigma::Shared(SharedSigma::Learned),
                },
                VaeNetwork::Conv { widths: vec![5, 7] },
            ),
            gan(
                GeneratorConfig::Mlp { hidden: vec![30] },
                DiscriminatorConfig::Mlp { hidden: vec![3] },
            ),
            gan(
                GeneratorConfig::Dcgan { width: 5 },
                DiscriminatorConfig::Dcgan {
                    width: 2,
                    norm: trompe_models::DiscriminatorNorm::Batch,
                },
            ),
        ]
    }

    fn session(config: ModelConfig) -> Session {
        let device = Device::flex();
        let description = Description {
            model: config,
            image: ImageSpec::new(12, 8, Channels::Rgb),
            levels: Levels::FULL,
            recipe: Default::default(),
            scores: Default::default(),
        };
        let init = Init::new(3, &device);
        Session {
            model: description.model.init(description.image, &init).unwrap(),
            description,
            digest: String::new(),
            device,
        }
    }

    #[test]
    fn an_image_depends_on_its_seed_alone() {
        for config in families() {
            let session = session(config);
            let seeds: Vec<u64> = (0..BATCH as u64 + 5).collect();
            let together = session.generate(&seeds).unwrap();
            for (seed, image) in seeds.iter().zip(&together) {
                assert_eq!(session.generate(&[*seed]).unwrap()[0], *image);
            }
            assert_eq!(together[0].spec(), session.image());
            assert_ne!(together[0], together[1]);
        }
    }

    #[test]
    fn a_latent_depends_on_its_image_alone() {
        for config in families().into_iter().take(2) {
            let session = session(config);
            let images = session.generate(&(0..20).collect::<Vec<_>>()).unwrap();
            let together = session.encode(&images).unwrap();
            assert_eq!(together.len(), 20);
            for (image, latent) in images.iter().zip(&together) {
                let alone = session.encode(std::slice::from_ref(image)).unwrap();
                assert_eq!(alone[0], *latent);
            }
            let again = session.decode(&together).unwrap();
            assert_eq!(session.reconstruct(&images).unwrap(), again);
        }
    }

    #[test]
    fn a_path_passes_the_images_of_its_stations() {
        let session = session(families()[0].clone());
        let images = session.generate(&[4, 9]).unwrap();
        let stations = session.sample(&[4, 9], 1.0);
        let frames = session.interpolate(&stations, 5, Ends::Open).unwrap();
        assert_eq!([&frames[0], &frames[4]], [&images[0], &images[1]]);
        assert_ne!(frames[2], frames[0]);
    }

    #[test]
    fn a_traversal_has_a_row_for_each_direction_and_fewer_if_there_are_fewer() {
        for config in families() {
            let session = session(config);
            let base = session.sample(&[1], 1.0).remove(0);
            let rows = session.traverse(&base, 3, 2.0, 5).unwrap();
            assert_eq!((rows.len(), rows[0].len()), (3, 5));
            assert!(rows.iter().all(|row| row[0] != row[4]));
            assert_eq!(session.traverse(&base, 99, 2.0, 2).unwrap().len(), 6);
        }
    }

    #[test]
    fn what_does_not_fit_the_model_is_an_error() {
        let vae = session(families()[0].clone());
        let decoded = vae.decode(&[vec![0.0; 5]]);
        assert!(matches!(
            decoded,
            Err(Error::LatentLength {
                found: 5,
                expected: 6
            })
        ));
        let wrong = [Pixels::filled(ImageSpec::new(8, 8, Channels::Rgb), 0)];
        assert!(matches!(vae.encode(&wrong), Err(Error::ImageKind { .. })));
        let gan = session(families()[2].clone());
        assert!(matches!(gan.encode(&wrong), Err(Error::NoEncoder)));
    }
}
