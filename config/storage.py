"""Static files under names that carry their content's hash, ES module imports included."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    # Without this a hashed module goes on importing its unhashed neighbours, and browsers mix versions.
    support_js_module_import_aggregation = True
