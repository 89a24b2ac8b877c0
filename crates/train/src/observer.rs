//! Who listens to a training.

use crate::{Event, TrainError};

/// Something that is told each [`Event`], in order.
pub trait Observer {
    /// Takes note of an event.
    ///
    /// # Errors
    /// When what should be written cannot be; training then stops.
    fn event(&mut self, event: &Event) -> Result<(), TrainError>;
}

/// Several observers as one. All are told each event, even when one of them fails; the first
/// failure is the answer.
#[derive(Default)]
pub struct Observers<'a>(Vec<Box<dyn Observer + 'a>>);

impl<'a> Observers<'a> {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more, who is told last.
    #[must_use]
    pub fn with(mut self, observer: impl Observer + 'a) -> Self {
        self.0.push(Box::new(observer));
        self
    }
}

impl Observer for Observers<'_> {
    fn event(&mut self, event: &Event) -> Result<(), TrainError> {
        let mut first = Ok(());
        for observer in &mut self.0 {
            first = first.and(observer.event(event));
        }
        first
    }
}

impl<F: FnMut(&Event) -> Result<(), TrainError>> Observer for F {
    fn event(&mut self, event: &Event) -> Result<(), TrainError> {
        self(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Warning;

    #[test]
    fn a_failing_observer_does_not_silence_the_next() {
        let warning = Event::Warning(Warning {
            step: 0,
            code: "a".into(),
            message: "b".into(),
        });
        let mut heard = 0;
        let mut all = Observers::new()
            .with(|_: &Event| Err(TrainError::NoRun { path: "x".into() }))
            .with(|_: &Event| {
                heard += 1;
                Ok(())
            });
        assert!(matches!(all.event(&warning), Err(TrainError::NoRun { .. })));
        drop(all);
        assert_eq!(heard, 1);
    }
}
