package attestation

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
)

// credentials gives those for one registry, which are sent to it and to nobody else. The file is read anew each time: a
// Secret that is mounted may change.
func (r Registries) credentials(host string) (authn.Authenticator, error) {
	if r.Credentials == "" {
		return authn.Anonymous, nil
	}
	text, err := os.ReadFile(r.Credentials)
	if err != nil {
		return nil, fmt.Errorf("read the credentials for registries: %w", err)
	}
	var config struct {
		Auths map[string]authn.AuthConfig `json:"auths"`
	}
	if json.Unmarshal(text, &config) != nil { // what is wrong with it may quote it
		return nil, fmt.Errorf("the credentials for registries in %s are not as in a Secret of type kubernetes.io/dockerconfigjson", r.Credentials)
	}
	auth, ok := config.Auths[host]
	if !ok {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(auth), nil
}
