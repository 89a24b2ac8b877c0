//! From the name of a device to the device.

use std::fmt::{self, Display};
use std::str::FromStr;

use burn::tensor::Device;
use miette::Diagnostic;
use thiserror::Error;

/// A device as users type it. Nothing is started before [`DeviceName::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// `auto`: the first graphics card that this build and this machine have, else the processor.
    Auto,
    /// `cpu`.
    Cpu,
    /// `cuda:N`: an NVIDIA card by number; `cuda` is `cuda:0`.
    Cuda(usize),
    /// `rocm:N`: an AMD card by number; `rocm` is `rocm:0`.
    Rocm(usize),
    /// `metal`: the graphics of an Apple machine.
    Metal,
    /// `vulkan`: the best card with a Vulkan driver.
    Vulkan,
}

/// A device that cannot be had.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum DeviceError {
    /// A name that no device has.
    #[error("the devices are auto, cpu, cuda:0, vulkan, metal and rocm:0, not `{name}`")]
    Unknown {
        /// What was asked for.
        name: String,
    },

    /// A kind of device that this build leaves out.
    #[error("this program was built without the device `{name}`")]
    #[diagnostic(help("build it with `--features {feature}`, or use `--device cpu`"))]
    NotBuilt {
        /// What was asked for.
        name: DeviceName,
        /// The cargo feature.
        feature: &'static str,
    },

    /// A device that does not start.
    #[error("this machine has no working device `{name}`: {reason}")]
    #[diagnostic(help(
        "check the card's number and its driver, or use `--device cpu`; \
         the program itself was built with the feature it needs"
    ))]
    Absent {
        /// What was asked for.
        name: DeviceName,
        /// What the driver says.
        reason: String,
    },
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { name: name.into() };
        let (kind, number) = match name.split_once(':') {
            Some((kind, number)) => (kind, Some(number.parse().map_err(|_| unknown())?)),
            None => (name, None),
        };
        match (kind, number) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", number) => Ok(Self::Cuda(number.unwrap_or(0))),
            ("rocm", number) => Ok(Self::Rocm(number.unwrap_or(0))),
            ("metal", None) => Ok(Self::Metal),
            ("vulkan", None) => Ok(Self::Vulkan),
            _ => Err(unknown()),
        }
    }
}

impl Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Rocm(number) => write!(f, "rocm:{number}"),
            Self::Metal => f.write_str("metal"),
            Self::Vulkan => f.write_str("vulkan"),
        }
    }
}

impl DeviceName {
    /// Starts the device.
    ///
    /// # Errors
    /// [`DeviceError::NotBuilt`] and [`DeviceError::Absent`].
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            Self::Auto => {
                let cards = [Self::Cuda(0), Self::Rocm(0), Self::Metal, Self::Vulkan];
                let first = cards.into_iter().find_map(|card| card.open().ok());
                Ok(first.unwrap_or_else(Device::flex))
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(number) => self.started(move || Device::cuda(number)),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => self.not_built("cuda"),
            #[cfg(feature = "rocm")]
            Self::Rocm(number) => self.started(move || Device::rocm(number)),
            #[cfg(not(feature = "rocm"))]
            Self::Rocm(_) => self.not_built("rocm"),
            #[cfg(feature = "metal")]
            Self::Metal => self.started(|| Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(not(feature = "metal"))]
            Self::Metal => self.not_built("metal"),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => {
                self.started(|| Device::vulkan(burn::tensor::DeviceKind::DefaultDevice))
            }
            #[cfg(not(feature = "vulkan"))]
            Self::Vulkan => self.not_built("vulkan"),
        }
    }

    #[cfg(not(all(
        feature = "cuda",
        feature = "rocm",
        feature = "metal",
        feature = "vulkan"
    )))]
    fn not_built(self, feature: &'static str) -> Result<Device, DeviceError> {
        Err(DeviceError::NotBuilt {
            name: self,
            feature,
        })
    }

    /// Burn starts a device with its first tensor and panics when it cannot: that is done here, once,
    /// so that it ends as an error.
    #[cfg(any(
        feature = "cuda",
        feature = "rocm",
        feature = "metal",
        feature = "vulkan"
    ))]
    fn started(
        self,
        device: impl FnOnce() -> Device + std::panic::UnwindSafe,
    ) -> Result<Device, DeviceError> {
        let talkative = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let started = std::panic::catch_unwind(|| {
            let device = device();
            let _ = burn::tensor::Tensor::<1>::ones([1], &device).into_data();
            device
        });
        std::panic::set_hook(talkative);
        started.map_err(|panic| {
            let reason = match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
                (Some(text), _) => text.lines().next().unwrap_or_default().to_owned(),
                (None, Some(text)) => (*text).to_owned(),
                (None, None) => "it does not start".to_owned(),
            };
            DeviceError::Absent { name: self, reason }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for name in ["auto", "cpu", "cuda:3", "rocm:0", "metal", "vulkan"] {
            let device: DeviceName = name.parse().unwrap();
            assert_eq!(device.to_string(), name);
        }
        assert_eq!("cuda".parse::<DeviceName>().unwrap(), DeviceName::Cuda(0));
        for name in ["gpu", "cpu:1", "cuda:", "cuda:x", "cuda:-1", ""] {
            assert!(name.parse::<DeviceName>().is_err(), "{name}");
        }
    }

    #[test]
    fn the_processor_is_always_there() {
        assert!(DeviceName::Cpu.open().is_ok());
        assert!(DeviceName::Auto.open().is_ok());
    }

    #[cfg(not(feature = "rocm"))]
    #[test]
    fn a_device_that_was_left_out_names_its_feature() {
        let error = DeviceName::Rocm(1).open().unwrap_err();
        assert!(matches!(
            error,
            DeviceError::NotBuilt {
                name: DeviceName::Rocm(1),
                feature: "rocm"
            }
        ));
    }
}
