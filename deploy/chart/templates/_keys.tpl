{{/* The values that the chart knows, as a list in YAML. */}}
{{- define "tallygate.keys" -}}
[global, nameOverride, fullnameOverride, namespaceOverride, image, imagePullSecrets, service,
automountServiceAccountToken, deploymentAnnotations, podAnnotations, podLabels, serviceAnnotations,
serviceLabels, serviceAccountLabels, persistentVolumeLabels, extraVars, extraArgs, extraInitContainers,
extraContainers, resources, webConfiguration, liveness, readiness, startupProbe,
terminationGracePeriodSeconds, serviceAccount, ingress, route, tolerations, nodeSelector, replicaCount,
hostAliases, runAsStatefulSet, securityContext, containerSecurityContext, affinity, podAntiAffinity,
podAntiAffinityTopologyKey, topologySpreadConstraints, serviceMonitor, podDisruptionBudget, priorityClassName,
strategy, persistentVolume, extraVolumes, extraVolumeMounts, networkPolicy, extraManifests, lifecycle,
tallygate, database, prometheusRule, dashboards]
{{- end -}}
