package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenLifetime is how long the token of a ServiceAccount is good for: longer than any stack is kept up.
const tokenLifetime = 30 * 24 * time.Hour

// User returns the credentials of a user, by a client certificate: a config, and the path of a kubeconfig. Whether
// the user may do anything is up to RBAC, and so to the caller.
func (cp *ControlPlane) User(name string, groups ...string) (*rest.Config, string, error) {
	path, err := cp.newKubeconfigPath()
	if err != nil {
		return nil, "", fmt.Errorf("user %q: %w", name, err)
	}
	config, err := cp.writeUser(path, name, groups...)
	return config, path, err
}

// ServiceAccount returns the credentials of a ServiceAccount, by a token of the API server: a config, and the path of
// a kubeconfig whose namespace is that of the account. The account must exist.
func (cp *ControlPlane) ServiceAccount(ctx context.Context, namespace, name string) (*rest.Config, string, error) {
	fail := func(err error) (*rest.Config, string, error) {
		return nil, "", fmt.Errorf("credentials of ServiceAccount %s/%s: %w", namespace, name, err)
	}
	seconds := int64(tokenLifetime.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	answer, err := cp.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return fail(err)
	}
	path, err := cp.newKubeconfigPath()
	if err != nil {
		return fail(err)
	}
	config, err := cp.writeKubeconfig(path, namespace, &clientcmdapi.AuthInfo{Token: answer.Status.Token})
	if err != nil {
		return fail(err)
	}
	return config, path, nil
}

// ServingCertificate writes into a folder, as tls.crt and tls.key, what a server on loopback shows to the API server. It is
// trusted by whoever trusts the authority in RESTConfig.
func (cp *ControlPlane) ServingCertificate(dir string) error {
	pair, err := cp.ca.serving()
	if err != nil {
		return fmt.Errorf("issue a serving certificate: %w", err)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "tls.crt"), pair.cert, 0o600),
		os.WriteFile(filepath.Join(dir, "tls.key"), pair.key, 0o600))
}

// writeUser writes the kubeconfig of a client-certificate user to path.
func (cp *ControlPlane) writeUser(path, name string, groups ...string) (*rest.Config, error) {
	pair, err := cp.ca.client(name, groups...)
	if err != nil {
		return nil, fmt.Errorf("issue certificate of user %q: %w", name, err)
	}
	return cp.writeKubeconfig(path, "", &clientcmdapi.AuthInfo{
		ClientCertificateData: pair.cert,
		ClientKeyData:         pair.key,
	})
}

func (cp *ControlPlane) writeKubeconfig(path, namespace string, user *clientcmdapi.AuthInfo) (*rest.Config, error) {
	const name = "interlock"
	content := clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{name: {
			Server:                   "https://" + loopback(cp.apiServerPort),
			CertificateAuthorityData: cp.ca.pem(),
		}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: user},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name, Namespace: namespace}},
		CurrentContext: name,
	}
	if err := clientcmd.WriteToFile(content, path); err != nil {
		return nil, err
	}
	config, err := clientcmd.NewDefaultClientConfig(content, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	// Tests are to be held up by the API server alone, never by the client's own limit.
	config.QPS = -1
	return config, nil
}

func (cp *ControlPlane) newKubeconfigPath() (string, error) {
	file, err := os.CreateTemp(cp.path(userDir), "*.kubeconfig")
	if err != nil {
		return "", err
	}
	return file.Name(), file.Close()
}
