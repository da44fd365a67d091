"""A currency pair names both its currencies; one from before, which named the second only, is no pair."""

from django.db import migrations, models


def no_half_pairs(apps, schema_editor):
    apps.get_model("assets", "Asset").objects.filter(asset_class="fx", base_currency="").update(asset_class="other")


class Migration(migrations.Migration):

    dependencies = [
        ('assets', '0002_sessions_splits_and_pairs'),
    ]

    operations = [
        migrations.RunPython(no_half_pairs, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name='asset',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('asset_class', 'fx'), models.Q(('base_currency', ''), _negated=True)), models.Q(models.Q(('asset_class', 'fx'), _negated=True), ('base_currency', '')), _connector='OR'), name='asset_base_currency_of_pairs'),
        ),
    ]
