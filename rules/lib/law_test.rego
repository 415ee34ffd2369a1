package seawall.lib.law_test

import rego.v1

import data.seawall.lib.law

gold := {"data_classification": "internal", "layer": "gold"}

test_of_its_classification if law.about({"data_classification": "internal"}, gold)

test_of_its_classification_and_layer if law.about({"data_classification": "internal", "layer": "gold"}, gold)

test_of_all_where_it_names_nothing if law.about({}, {})

test_of_no_other_layer if not law.about({"data_classification": "internal", "layer": "bronze"}, gold)

test_of_no_other_classification if not law.about({"data_classification": "secret"}, gold)

test_of_no_data_without_a_layer if not law.about({"layer": "gold"}, {"data_classification": "internal"})
