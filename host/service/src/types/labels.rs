//! Whose collections are whose: a label belongs to one task type, or to the people of a space.

use taskhost_model::descriptor::Descriptor;
use taskhost_model::ids::Label;

use super::TaskTypes;
use super::push::invalid;
use crate::error::ServiceError;

impl TaskTypes {
    /// Whether an active type reads the space's own collection of that label.
    pub(crate) fn is_read_of_spaces(&self, label: &Label) -> bool {
        let active = self.0.catalog.all_active();
        let reads = |it: &Descriptor| it.space_collections.contains(label);
        active.iter().any(|it| reads(&it.descriptor))
    }

    /// # Errors
    /// [`ServiceError::InvalidComponent`] where another type owns a label, or people do.
    pub(super) async fn check_labels(&self, descriptor: &Descriptor) -> Result<(), ServiceError> {
        let refused = |why: String| invalid(vec![format!("{why}: choose another label")]);
        for label in &descriptor.collections {
            let owner = self.0.documents.label_owner(label).await?;
            if let Some(owner) = owner.filter(|owner| *owner != descriptor.id) {
                return Err(refused(format!(
                    "the collection `{label}` belongs to the task type `{owner}`"
                )));
            }
            if self.is_read_of_spaces(label) {
                return Err(refused(format!(
                    "the collection `{label}` is one that people keep for other task types"
                )));
            }
        }
        for label in &descriptor.space_collections {
            if let Some(owner) = self.0.documents.label_owner(label).await? {
                return Err(refused(format!(
                    "`space_collections` names `{label}`, which belongs to the task type `{owner}`"
                )));
            }
        }
        Ok(())
    }

    /// Makes the type the owner of its labels; it may be already.
    pub(super) async fn take_labels(&self, descriptor: &Descriptor) -> Result<(), ServiceError> {
        for label in &descriptor.collections {
            self.0.documents.take_label(label, &descriptor.id).await?;
        }
        Ok(())
    }
}
