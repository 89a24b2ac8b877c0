//! A model on a device.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use trompe_images::{ImageSpec, Pixels, Scale, ValueRange};
use trompe_latent::{Ends, Sensitivity, path, sample, sample_uniform, traverse};
use trompe_layers::{Boundary, Pass};
use trompe_models::{Autoencoder, Generator, Model, ModelConfig, to_pixels, to_tensor};
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
    /// Classes of the images: none, one for all, or one for each.
    given: Vec<u32>,
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
            given: Vec::new(),
        })
    }

    /// The names of the classes that the model can be asked for; none of an unconditional one.
    pub fn classes(&self) -> &[String] {
        &self.description.classes
    }

    /// The same model for images of these classes: one for all images, or one for each.
    ///
    /// # Errors
    /// [`Error::UnknownClass`].
    pub fn given(&self, classes: &[u32]) -> Result<Self, Error> {
        let known = self.classes().len();
        if let Some(&class) = classes.iter().find(|&&class| class as usize >= known) {
            return Err(Error::UnknownClass { class, known });
        }
        Ok(Self {
            model: self.model.clone(),
            description: self.description.clone(),
            digest: self.digest.clone(),
            device: self.device.clone(),
            given: classes.to_vec(),
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
        self.description.model.latent(self.image())
    }

    /// One image for each seed; of a conditional model that no class was given, of the class that
    /// is the seed's turn.
    ///
    /// An image depends on the model, its class and its seed alone, bit for bit on one device.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub fn generate(&self, seeds: &[u64]) -> Result<Vec<Pixels>, Error> {
        let latents = self.sample(seeds, 1.0);
        match self.given.is_empty() {
            true => self.given(&self.in_turn(seeds))?.decode(&latents),
            false => self.decode(&latents),
        }
    }

    /// For each seed the class whose turn it is when all take turns; none without classes.
    pub fn in_turn(&self, seeds: &[u64]) -> Vec<u32> {
        let turn = |seed: &u64| seed.checked_rem(self.classes().len() as u64);
        seeds
            .iter()
            .filter_map(turn)
            .map(|class| class as u32)
            .collect()
    }

    /// The latent of each seed, at a temperature (see [`sample`]); for a model of codes the vectors of a
    /// map of codes drawn from its prior.
    pub fn sample(&self, seeds: &[u64], temperature: f32) -> Vec<Vec<f32>> {
        let entries = self.latent_entries();
        let Model::Quantised(model) = &self.model else {
            let normal = |&seed: &u64| sample(seed, entries, temperature);
            return seeds.iter().map(normal).collect();
        };
        let groups = seeds.chunks(BATCH).flat_map(|seeds| {
            let mut uniform: Vec<_> = (seeds.iter())
                .map(|&seed| sample_uniform(seed, model.places()))
                .collect();
            uniform.resize(BATCH, vec![0.0; model.places()]);
            let codes = model.prior.draw(&uniform, temperature);
            rows(model.latents_of(codes), entries).take(seeds.len())
        });
        groups.collect()
    }

    /// The image of each latent: for a VAE the mean of its likelihood, not a draw from it.
    ///
    /// # Errors
    /// [`Error::LatentLength`], [`Error::NotFinite`], [`Error::NoClass`].
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
    /// [`Error::LatentLength`], [`Error::NotFinite`], [`Error::NoClass`].
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

    /// The latent of each image: the mean of its posterior, or the vectors of its codes.
    ///
    /// # Errors
    /// [`Error::NoEncoder`], [`Error::ImageKind`], [`Error::NoClass`].
    pub fn encode(&self, images: &[Pixels]) -> Result<Vec<Vec<f32>>, Error> {
        if let Model::Gan(_) = self.model {
            return Err(Error::NoEncoder);
        }
        let spec = self.image();
        if let Some(other) = images.iter().find(|image| image.spec() != spec) {
            return Err(Error::ImageKind {
                found: other.spec(),
                expected: spec,
            });
        }
        let range = self.description.model.value_range();
        let scale = Scale::new(range, self.description.levels);
        let count = images.len();
        let mut latents = Vec::with_capacity(count);
        for (index, images) in images.chunks(BATCH).enumerate() {
            let classes = self.classes_of(index * BATCH, images.len(), count)?;
            let mut bytes: Vec<u8> = images.iter().flat_map(Pixels::bytes).copied().collect();
            bytes.resize(BATCH * spec.samples(), 0);
            let batch = to_tensor(&bytes, spec, &scale, &self.device);
            let encoded = match &self.model {
                Model::Vae(vae) => {
                    let vae = vae.given(classes.as_deref());
                    vae.encode(batch, &mut Pass::inference()).mean
                }
                Model::Quantised(model) => model.latents_of(model.codes(batch)),
                Model::Gan(_) => return Err(Error::NoEncoder),
            };
            latents.extend(rows(encoded, self.latent_entries()).take(images.len()));
        }
        Ok(latents)
    }

    /// Each image through the encoder and back through the decoder.
    ///
    /// # Errors
    /// [`Error::NoEncoder`], [`Error::ImageKind`], [`Error::NoClass`].
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
    /// [`Error::LatentLength`], [`Error::NoAxes`] for a model of codes.
    pub fn traverse(
        &self,
        base: &[f32],
        directions: usize,
        range: f32,
        steps: usize,
    ) -> Result<Vec<Vec<Pixels>>, Error> {
        if let ModelConfig::Quantised(_) = self.description.model {
            return Err(Error::NoAxes);
        }
        self.check_latent(base)?;
        let anchors = self.sample(&(0..ANCHORS).collect::<Vec<_>>(), 1.0);
        let sensitivity = Sensitivity::measure(&anchors, |latents| {
            self.draw(latents, |images| {
                rows(images.flatten(1, 3), self.image().samples()).collect()
            })
        })?;
        let ordered = match self.description.model {
            ModelConfig::Vae(_) | ModelConfig::Quantised(_) => sensitivity.axes(),
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
        let count = latents.len();
        for (index, latents) in latents.chunks(BATCH).enumerate() {
            let classes = self.classes_of(index * BATCH, latents.len(), count)?;
            let mut values = Vec::with_capacity(BATCH * entries);
            for latent in latents {
                self.check_latent(latent)?;
                values.extend_from_slice(latent);
            }
            values.resize(BATCH * entries, 0.0);
            let data = TensorData::new(values, [BATCH, entries]);
            let latent_rows = Tensor::from_data(data, (&self.device, DType::F32));
            let images = self.forward(latent_rows, classes.as_deref());
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
    fn forward(&self, latents: Tensor<2>, classes: Option<&[u32]>) -> Tensor<4> {
        let mut pass = Pass::inference();
        match &self.model {
            Model::Vae(vae) => vae.given(classes).mean_image(latents, &mut pass),
            Model::Quantised(model) => model.mean_image(latents),
            Model::Gan(gan) => gan.generator.generate(latents, &mut pass),
        }
    }

    /// The classes of `images` of `count` images, from the `first` on, filled up to a batch.
    fn classes_of(
        &self,
        first: usize,
        images: usize,
        count: usize,
    ) -> Result<Option<Vec<u32>>, Error> {
        let given = match &self.given[..] {
            _ if self.classes().is_empty() => return Ok(None),
            &[class] => return Ok(Some(vec![class])),
            given if given.len() == count && count > 0 => given,
            given => {
                return Err(Error::NoClass {
                    given: given.len(),
                    images: count,
                });
            }
        };
        let mut classes = given[first..first + images].to_vec();
        classes.resize(BATCH, 0);
        Ok(Some(classes))
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
    use trompe_models::prior::CodePriorConfig;
    use trompe_models::vae::QuantiserConfig;
    use trompe_models::{
        Condition, DiscriminatorConfig, GanConfig, GeneratorConfig, Likelihood, QuantisedVaeConfig,
        SharedSigma, Sigma, VaeConfig, VaeNetwork,
    };

    fn families() -> [ModelConfig; 4] {
        let vae = |likelihood, network| {
            ModelConfig::Vae(VaeConfig {
                latent: 6,
                likelihood,
                network,
                condition: None,
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
            image: ImageSpec::new(12, 8, Channels::Rgb),
            levels: Levels::FULL,
            classes: (0..config.classes())
                .map(|class| class.to_string())
                .collect(),
            model: config,
            recipe: Default::default(),
            scores: Default::default(),
        };
        let init = Init::new(3, &device);
        Session {
            model: description.model.init(description.image, &init).unwrap(),
            description,
            digest: String::new(),
            device,
            given: Vec::new(),
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

    fn conditional() -> Session {
        let [ModelConfig::Vae(mut config), ..] = families() else {
            panic!("the first family is a VAE")
        };
        config.condition = Some(Condition::Class(3));
        session(ModelConfig::Vae(config))
    }

    #[test]
    fn an_image_depends_on_its_class_and_not_on_the_others() {
        let session = conditional();
        let latents = vec![session.sample(&[8], 1.0).remove(0); BATCH + 2];
        let classes: Vec<u32> = (0..latents.len() as u32).map(|place| place % 3).collect();
        let images = session.given(&classes).unwrap().decode(&latents).unwrap();
        assert_ne!(images[0], images[1]);
        assert_ne!(images[1], images[2]);
        for (class, image) in classes.iter().zip(&images) {
            let of_class = session.given(&[*class]).unwrap();
            assert_eq!(of_class.decode(&latents[..1]).unwrap()[0], *image);
        }
        // Without a word about classes each seed has its own.
        assert_eq!(session.generate(&[8]).unwrap()[0], images[8]);

        let latents = session.given(&classes).unwrap().encode(&images).unwrap();
        let of_one = session.given(&[1]).unwrap();
        assert_eq!(of_one.encode(&images[1..2]).unwrap()[0], latents[1]);
        assert_ne!(of_one.encode(&images[..1]).unwrap()[0], latents[0]);
    }

    #[test]
    fn a_conditional_model_wants_a_class_for_every_image() {
        let session = conditional();
        let latents = session.sample(&[1, 2, 3], 1.0);
        assert!(matches!(
            session.decode(&latents),
            Err(Error::NoClass {
                given: 0,
                images: 3
            })
        ));
        assert!(matches!(
            session.given(&[0, 1]).unwrap().decode(&latents),
            Err(Error::NoClass {
                given: 2,
                images: 3
            })
        ));
        assert!(matches!(
            session.given(&[3]),
            Err(Error::UnknownClass { class: 3, known: 3 })
        ));
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
    fn maps_of_codes_depend_on_seed_and_image_alone() {
        let config = QuantisedVaeConfig {
            likelihood: Likelihood::Bernoulli,
            widths: vec![5, 7],
            blocks: 1,
            quantiser: QuantiserConfig::FiniteScalars { levels: vec![5, 4] },
            prior: CodePriorConfig {
                width: 8,
                layers: 2,
                heads: 2,
            },
        };
        let mut session = session(ModelConfig::Quantised(config));
        for is_fitted in [false, true] {
            let Model::Quantised(model) = &mut session.model else {
                unreachable!("it is what was asked for");
            };
            let images = model.prior.images.clone();
            model.prior.images = images.map(|images| images + f64::from(u8::from(is_fitted)));
            let seeds: Vec<u64> = (0..BATCH as u64 + 3).collect();
            let together = session.generate(&seeds).unwrap();
            for (seed, image) in seeds.iter().zip(&together) {
                assert_eq!(session.generate(&[*seed]).unwrap()[0], *image);
            }
            assert_ne!(together[0], together[1]);
        }
        let images = session.generate(&[1, 2, 3]).unwrap();
        let latents = session.encode(&images).unwrap();
        assert_eq!(session.encode(&images[1..2]).unwrap()[0], latents[1]);
        assert_eq!(
            session.reconstruct(&images).unwrap(),
            session.decode(&latents).unwrap()
        );
        let walked = session.traverse(&latents[0], 1, 1.0, 2);
        assert!(matches!(walked, Err(Error::NoAxes)));
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
