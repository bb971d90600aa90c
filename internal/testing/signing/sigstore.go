package signing

import (
	"encoding/hex"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"google.golang.org/protobuf/encoding/protojson"
)

// Sigstore is a certificate authority, a transparency log and a timestamping authority of a test's own.
type Sigstore struct{ virtual *ca.VirtualSigstore }

// NewSigstore makes one.
func NewSigstore() *Sigstore {
	virtual, err := ca.NewVirtualSigstore()
	must(err)
	return &Sigstore{virtual}
}

// TrustedRoot gives the JSON by which others verify what it certified.
func (s *Sigstore) TrustedRoot() string {
	logs := s.virtual.RekorLogs()
	for id, l := range logs { // whose ids are hexadecimal digits, and in JSON are bytes
		var err error
		l.ID, err = hex.DecodeString(id)
		must(err)
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
		s.virtual.FulcioCertificateAuthorities(), nil, s.virtual.TimestampingAuthorities(), logs)
	must(err)
	return Text(trusted)
}

// Sign gives the text of a bundle with the statement, signed by an identity and logged now.
func (s *Sigstore) Sign(issuer, identity string, statement Statement) string {
	entity, err := s.virtual.AttestAtTimeHashedRekordV2(identity, issuer, statement.JSON(), time.Now().Add(time.Minute))
	must(err)
	verification, err := entity.VerificationContent()
	must(err)
	signature, err := entity.SignatureContent()
	must(err)
	envelope := signature.EnvelopeContent().RawEnvelope()
	payload, err := envelope.DecodeB64Payload()
	must(err)
	entries, err := entity.TlogEntries()
	must(err)
	stamps, err := entity.Timestamps()
	must(err)
	material := &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_Certificate{
			Certificate: &protocommon.X509Certificate{RawBytes: verification.Certificate().Raw}},
		TimestampVerificationData: &protobundle.TimestampVerificationData{},
	}
	for _, e := range entries {
		material.TlogEntries = append(material.TlogEntries, e.TransparencyLogEntry())
	}
	for _, t := range stamps {
		material.TimestampVerificationData.Rfc3161Timestamps = append(
			material.TimestampVerificationData.Rfc3161Timestamps, &protocommon.RFC3161SignedTimestamp{SignedTimestamp: t})
	}
	text, err := protojson.Marshal(&protobundle.Bundle{
		MediaType:            "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: material,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			PayloadType: envelope.PayloadType, Payload: payload,
			Signatures: []*protodsse.Signature{{Sig: signature.Signature()}}}},
	})
	must(err)
	return string(text)
}
