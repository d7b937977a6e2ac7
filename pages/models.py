"""The models one may use: bundled bases, and what one's own fine-tuning has made."""

from core.ui import places, show, sign_in
from core.ui.models import model_list

user = sign_in.require_user()
with show.header(
    "Models", "Each has versions you can go back to, and a name your programs can call.", icon="deployed_code"
):
    places.button("New fine-tuning", "fine_tuning", key="models_new", icon="add", primary=True, new=1)
with show.guarded():
    model_list.show_models(user)
