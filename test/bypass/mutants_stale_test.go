package bypass

const operatorRole = "config/rbac/role.yaml"

// staleMutants break what keeps an API server from believing clearances that are no more, or what notices it.
var staleMutants = []mutant{
	{"clearances-in-configmap", "`interlock-hold` and `interlock-admit`: read a kind that the API server itself keeps reading", "they read a ConfigMap",
		[]change{
			{policies, `Kind: "LimitRange"}`, `Kind: "ConfigMap"}`},
			{ledgers, "\tif err == nil {\n\t\tledger :=", `	if err == nil && r.enforced(ns) {
		err = r.Client.Update(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: req.Name, Name: clearances.Name, Annotations: clearances.Annotations}})
		if apierrors.IsNotFound(err) {
			err = r.Client.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: req.Name, Name: clearances.Name, Annotations: clearances.Annotations}})
		}
	}
	if err == nil {
		ledger :=`},
			{operatorRole, "  - limitranges\n  verbs:\n  - get\n", "  - limitranges\n  - configmaps\n  verbs:\n  - get\n"},
			{operatorRole, "  - limitranges\n  verbs:\n  - delete\n", "  - limitranges\n  - configmaps\n  verbs:\n  - delete\n"},
			{operatorRole, "  - limitranges\n  - pods/eviction\n", "  - limitranges\n  - configmaps\n  - pods/eviction\n"},
		},
		[]string{"45: whichever of our policies"}},
}
