# Of which data a DataRetention speaks: of that with its classification and its layer, where it names them.
package seawall.lib.law

import rego.v1

about(rule, dataset) if {
	says(rule, dataset, "data_classification")
	says(rule, dataset, "layer")
}

says(rule, _, field) if object.get(rule, field, null) == null

says(rule, dataset, field) if rule[field] == object.get(dataset, field, null)
